"""Models and data sets."""

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from secateur.core.formats import DatasetFormatName, ModelFormatName
from secateur.types.base import Answer, Failure


class Model(Answer):
    """A network; servable when its status is ``ready``."""

    id: str
    object: Literal["model"] = "model"
    name: str
    version: str
    tags: list[str] = Field(default_factory=list)
    status: Literal["validating", "ready", "rejected"]
    format: ModelFormatName
    architecture: dict[str, Any] | None
    filename: str | None
    sha256: str
    num_bytes: int
    parent: str | None
    job: str | None
    variants: list[str] = Field(default_factory=list)
    num_parameters: int | None
    macs: int | None
    inputs: list[dict[str, Any]] | None = None
    outputs: list[dict[str, Any]] | None = None
    preprocess: dict[str, Any] | None
    class_names: list[str] | None
    error: Failure | None
    metadata: dict[str, str]
    created_at: datetime | None
    urls: dict[str, str]


class DeviceLatencies(Answer):
    """Latencies of a model's layers at several widths, as a device measured them."""

    id: str
    object: Literal["latencies"] = "latencies"
    name: str
    filename: str | None
    sha256: str
    num_bytes: int
    model: str
    bench: str
    device: str
    runtime: str
    runtime_version: str
    num_threads: int
    batch_size: int
    precisions: list[Literal["fp32", "int8"]]
    num_rows: int
    network_seconds: float | None
    created_at: datetime | None


class Dataset(Answer):
    """Samples and labels; usable when its status is ``ready``."""

    id: str
    object: Literal["dataset"] = "dataset"
    name: str
    tags: list[str] = Field(default_factory=list)
    status: Literal["validating", "ready", "rejected"]
    format: DatasetFormatName
    filename: str | None
    sha256: str
    num_bytes: int
    preprocess: dict[str, Any]
    summary: dict[str, Any] | None
    error: Failure | None
    warnings: tuple[str, ...] = ()
    metadata: dict[str, str]
    created_at: datetime | None

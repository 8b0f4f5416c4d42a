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

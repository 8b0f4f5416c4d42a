"""Request and response schemas of models."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.paging import to_time
from app.records.stored import variants_of, verdict_of
from app.records.tables import ModelRow
from app.tags import Tags
from app.text import Line, NameText, Text
from secateur.core.formats import ModelFormatName

Metadata = dict[
    Annotated[Line, Field(min_length=1, max_length=64)], Annotated[Text, Field(max_length=2048)]
]


class Model(BaseModel):
    """A network; can be served when its status is ``ready``."""

    id: str
    object: Literal["model"] = "model"
    name: str
    tags: list[str]
    version: str
    status: Literal["validating", "ready", "rejected"]
    format: ModelFormatName
    architecture: dict[str, Any] | None = Field(
        description="Architecture of a model uploaded as weights."
    )
    filename: str | None
    sha256: str
    num_bytes: int
    parent: str | None = Field(description="The model this one was pruned from.")
    job: str | None = Field(description="The job that made it.")
    variants: list[str] = Field(
        description="What `variant` of `/infer` may be: pruned (the model itself), base, int8. "
        "Comparisons: both needs base, and all needs the three."
    )
    num_parameters: int | None
    macs: int | None
    inputs: list[dict[str, Any]] | None = Field(description="Name, shape and dtype of each.")
    outputs: list[dict[str, Any]] | None = Field(
        description="Name, shape and dtype of each, and its kind, which selects `/infer`'s labels."
    )
    preprocess: dict[str, Any] | None
    class_names: list[str] | None
    error: dict[str, Any] | None
    metadata: Metadata
    created_at: datetime | None
    urls: dict[str, str]


class ModelPatch(BaseModel):
    """Fields that can be changed."""

    model_config = ConfigDict(extra="forbid")

    name: NameText | None = Field(default=None, min_length=1, max_length=200)
    tags: Tags | None = None
    metadata: Metadata | None = Field(default=None, max_length=50)


def to_model(row: ModelRow) -> Model:
    """Return the API's representation of a row."""
    verdict = verdict_of(row)
    base = f"/v1/models/{row.id}"
    return Model(
        id=row.id,
        name=row.name,
        tags=list(row.tags),
        version=row.version,
        status=row.status,
        format=row.format,
        architecture=row.architecture,
        filename=row.filename,
        sha256=row.sha256,
        num_bytes=row.num_bytes,
        parent=row.parent_id,
        job=row.job_id,
        variants=list(variants_of(row)),
        num_parameters=verdict.num_parameters,
        macs=verdict.macs,
        inputs=verdict.inputs,
        outputs=verdict.outputs,
        preprocess=row.preprocess,
        class_names=row.class_names,
        error=row.error,
        metadata=row.meta,
        created_at=to_time(row.created_at),
        urls={"self": base, "report": f"{base}/report", "infer": f"{base}/infer"},
    )

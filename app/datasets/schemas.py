"""What a data set looks like over HTTP."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.contracts.errors import ErrorDetail, InvalidInputError
from app.contracts.spec import PreprocessSpec
from app.contracts.tables import DatasetRow
from app.models.schemas import Metadata
from app.paging import to_time
from app.text import Line


class Dataset(BaseModel):
    """Samples and labels; usable when its status is ``ready``."""

    id: str
    object: Literal["dataset"] = "dataset"
    name: str
    status: Literal["validating", "ready", "rejected"]
    format: Literal["npz", "zip", "tar", "parquet"]
    filename: str | None
    sha256: str
    num_bytes: int
    preprocess: dict[str, Any]
    summary: dict[str, Any] | None = Field(description="Samples, classes and splits found.")
    error: dict[str, Any] | None
    metadata: Metadata
    created_at: datetime | None


class DatasetPatch(BaseModel):
    """What may be changed."""

    model_config = ConfigDict(extra="forbid")

    name: Line | None = Field(default=None, min_length=1, max_length=200)
    metadata: Metadata | None = Field(default=None, max_length=50)


def to_dataset(row: DatasetRow) -> Dataset:
    """Return a row as the API shows it."""
    return Dataset(
        id=row.id,
        name=row.name,
        status=row.status,
        format=row.format,
        filename=row.filename,
        sha256=row.sha256,
        num_bytes=row.num_bytes,
        preprocess=row.preprocess,
        summary=row.summary,
        error=row.error,
        metadata=row.meta,
        created_at=to_time(row.created_at),
    )


def parse_preprocess(text: str | None) -> PreprocessSpec:
    """Return the preprocessing that came as JSON text.

    Raises:
        InvalidInputError: It is not a preprocessing spec; pointers say where.
    """
    if text is None:
        return PreprocessSpec()
    try:
        return PreprocessSpec.model_validate_json(text)
    except ValidationError as error:
        raise InvalidInputError(
            "preprocess: " + str(error.errors()[0]["msg"]), details=details_of(error, "/preprocess")
        ) from error


def details_of(error: ValidationError, prefix: str = "") -> list[ErrorDetail]:
    """Return pydantic's complaints with JSON pointers below ``prefix``."""
    return [
        ErrorDetail(prefix + "".join(f"/{part}" for part in item["loc"]), str(item["msg"]))
        for item in error.errors()
    ]

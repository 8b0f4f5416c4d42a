"""Request and response schemas of data sets."""

import json
from base64 import b64decode, b64encode
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError

from app.contracts.complaints import complaints, refusal
from app.contracts.errors import ErrorDetail, InvalidInputError
from app.contracts.examples import Box, Example, Point
from app.contracts.spec import NO_PREPROCESS, PreprocessSpec, Preset
from app.contracts.suggestions import suggestion
from app.datasets.png import encode_png
from app.models.schemas import Metadata
from app.paging import to_time
from app.records.stored import summary_of_dataset
from app.records.tables import DatasetRow
from app.tags import Tags
from app.text import NameText
from secateur.core.formats import DATASET_FORMATS, DatasetFormatName

PRESETS: tuple[str, ...] = get_args(Preset)


class Dataset(BaseModel):
    """Samples and labels; usable when its status is ``ready``."""

    id: str
    object: Literal["dataset"] = "dataset"
    name: str
    tags: list[str]
    status: Literal["validating", "ready", "rejected"]
    format: DatasetFormatName
    filename: str | None
    sha256: str
    num_bytes: int
    preprocess: dict[str, Any]
    summary: dict[str, Any] | None = Field(description="Samples, classes and splits found.")
    error: dict[str, Any] | None
    warnings: list[str] = Field(description="Problems that make metrics less trustworthy.")
    metadata: Metadata
    created_at: datetime | None


class ExampleImage(BaseModel):
    """A training image of a data set."""

    label: str
    split: str
    height: int
    width: int
    png: Base64Bytes = Field(description="The image as a PNG file, in Base64.")
    boxes: tuple[Box, ...] = Field(description="Its objects, in shares of width and height.")
    points: tuple[Point, ...] = Field(description="Its keypoints, likewise.")


class ExampleList(BaseModel):
    """A few training images of a data set, at most 64 pixels high and wide."""

    object: Literal["list"] = "list"
    data: list[ExampleImage]


class DatasetPatch(BaseModel):
    """Fields that can be changed."""

    model_config = ConfigDict(extra="forbid")

    name: NameText | None = Field(default=None, min_length=1, max_length=200)
    tags: Tags | None = None
    metadata: Metadata | None = Field(default=None, max_length=50)


class DatasetCopy(BaseModel):
    """The same samples with other preprocessing."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"preprocess": {"preset": "imagenet"}}}
    )

    preprocess: PreprocessSpec
    name: NameText | None = Field(
        default=None, min_length=1, max_length=200, description="null: as it is."
    )


def to_dataset(row: DatasetRow) -> Dataset:
    """Return the API's representation of a row."""
    return Dataset(
        id=row.id,
        name=row.name,
        tags=list(row.tags),
        status=row.status,
        format=row.format,
        filename=row.filename,
        sha256=row.sha256,
        num_bytes=row.num_bytes,
        preprocess=row.preprocess,
        summary=row.summary,
        error=row.error,
        warnings=warnings_of(row),
        metadata=row.meta,
        created_at=to_time(row.created_at),
    )


def to_examples(found: list[dict[str, Any]]) -> ExampleList:
    """Return the API's representation of the examples in a row."""
    shown = []
    for example in map(Example.model_validate, found):
        pixels = b64decode(example.pixels)
        png = encode_png(pixels, example.height, example.width, example.channels)
        fields = example.model_dump(exclude={"pixels", "channels"})
        shown.append(ExampleImage(**fields, png=b64encode(png)))
    return ExampleList(data=shown)


def parse_preprocess(text: str | None) -> PreprocessSpec:
    """Parse preprocessing given as a preset's name or as JSON text.

    Raises:
        InvalidInputError: The text is not a preprocessing spec; pointers say where.
    """
    if text is None or not text.strip():
        return PreprocessSpec()
    is_name = not text.lstrip().startswith(("{", "[")) and not text.strip(' "').isdecimal()
    sent = json.dumps({"preset": text.strip(' "')}) if is_name else text
    try:
        spec = PreprocessSpec.model_validate_json(sent)
    except ValidationError as error:
        details = complaints(error, PreprocessSpec, "/preprocess")
        if is_name:
            meant = suggestion(text.strip(' "'), PRESETS)
            message = f"preprocess is {text[:64]!r}{meant or '.'} It takes JSON, or one of "
            raise InvalidInputError(message + ", ".join(PRESETS), details=details) from error
        raise refusal(details) from error
    given = json.loads(sent)
    values = [name for name in ("scale", "mean", "std") if name in given]
    if spec.preset is not None and values:
        raise InvalidInputError(
            f"preset {spec.preset!r} already sets {values[0]}; leave out {values[0]} or the preset",
            details=[ErrorDetail(f"/preprocess/{values[0]}", "is set by the preset")],
        )
    # A user who writes the default explicitly needs no warning.
    return spec.model_copy(update={"preset": "unit"}) if values and not spec.is_given else spec


def warnings_of(row: DatasetRow) -> list[str]:
    """Return the warnings about a data set for a job that will use it."""
    if row.summary is not None:
        return summary_of_dataset(row).notes
    # Before intake, only image files are known to hold pixels.
    holds_images = any(f.holds_images for f in DATASET_FORMATS.values() if f.name == row.format)
    return [NO_PREPROCESS] if holds_images and not _spec_of(row).is_given else []


def lacks_preprocess(row: DatasetRow) -> bool:
    """Return whether a data set is known to hold pixels but has no preprocessing."""
    return NO_PREPROCESS in warnings_of(row)


def _spec_of(row: DatasetRow) -> PreprocessSpec:
    return PreprocessSpec.model_validate(row.preprocess or {})

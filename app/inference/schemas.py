"""OpenAPI schemas of ``/infer``. The route reads its bodies without pydantic."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from app.http.problems import RESPONSES
from app.inference.npy import MEDIA_TYPE
from app.openapi import Operation, parameters_of, reference

MOST_LABELS = 1000
_BINARY = {"schema": {"type": "string", "format": "binary"}}


class Parameters(BaseModel):
    """Options of a request."""

    variant: str = Field(
        default="pruned",
        pattern="^(pruned|base|int8|both|all)$",
        description="The named model, the model it was pruned from (base), its int8 form, or a "
        "comparison: of the first two (both), or of the three (all).",
    )
    priority: int = Field(default=0, ge=-100, le=100, description="Higher runs first.")
    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Drop the request if it has not started after this time.",
    )


class Question(BaseModel):
    """Query parameters of a request, in addition to `Parameters`."""

    model: Annotated[str, Field(max_length=300)] | None = Field(
        default=None, description="An id, name, name@version or name@alias."
    )
    top_k: int = Field(default=5, ge=1, le=MOST_LABELS, description="Labels for each image.")


class TensorsBody(BaseModel):
    """A request with tensors."""

    model: str | None = Field(default=None, description="An id, name, name@version or name@alias.")
    inputs: list[Any] | dict[str, Any] = Field(
        description="Preprocessed tensor as nested lists, or an object of tensors by input name."
    )
    parameters: Parameters | None = None


class Label(BaseModel):
    """One class of one image."""

    label: str
    index: int
    score: float = Field(
        description="Probability: softmax, sigmoid or the output itself, depending on the kind "
        "of output."
    )


class Box(BaseModel):
    """One object in an image."""

    label: str
    index: int
    score: float
    box: tuple[float, float, float, float] = Field(
        description="Left, top, right and bottom in pixels of the image."
    )


class ClassShare(BaseModel):
    """One class of a mask."""

    label: str
    index: int
    share: float = Field(description="Share of the mask's pixels.")


class Mask(BaseModel):
    """Classes of the pixels of one image."""

    png: str = Field(
        description="A PNG in base64 that covers the whole image; its values are the classes."
    )
    width: int
    height: int
    classes: list[ClassShare]


class Keypoint(BaseModel):
    """One keypoint of an object."""

    label: str
    index: int
    x: float = Field(description="In pixels of the image, from the left.")
    y: float = Field(description="In pixels of the image, from the top.")
    score: float


class Pose(BaseModel):
    """One object in an image by its keypoints."""

    score: float
    box: tuple[float, float, float, float] = Field(
        description="Left, top, right and bottom in pixels of the image."
    )
    points: list[Keypoint] = Field(description="Keypoints that the network is sure enough of.")


class Text(BaseModel):
    """The text of one image."""

    text: str
    score: float = Field(description="Mean probability of the characters.")


class ImageSize(BaseModel):
    """Size of an image, upright, in pixels."""

    width: int
    height: int


class BaseAnswer(BaseModel):
    """Answer of the model that the named model was pruned from."""

    model: str
    version: str
    outputs: list[Any] | dict[str, Any] | None = None
    boxes: list[list[Box]] | None = None
    masks: list[Mask] | None = None
    keypoints: list[list[Pose]] | None = None
    texts: list[Text] | None = None
    images: list[ImageSize] | None = None


class Int8Answer(BaseModel):
    """Answer of the named model's int8 form."""

    outputs: list[Any] | dict[str, Any] | None = None
    boxes: list[list[Box]] | None = None
    masks: list[Mask] | None = None
    keypoints: list[list[Pose]] | None = None
    texts: list[Text] | None = None
    images: list[ImageSize] | None = None


class VariantSeconds(BaseModel):
    """Compute time of each model's batch in seconds."""

    base: float
    pruned: float
    int8: float | None = Field(default=None, description="Only with variant all.")


class Difference(BaseModel):
    """Difference between the outputs of two forms of a model."""

    agreement: float = Field(description="As in the comparison.")
    max_difference: float


class ComparisonAnswer(BaseModel):
    """Differences between the two models' outputs."""

    agreement: float = Field(
        description="Share of samples with the same best class; without classes, share of values "
        "that differ by less than a hundredth of the largest."
    )
    max_difference: float
    seconds: VariantSeconds
    int8: Difference | None = Field(
        default=None, description="The int8 form against the named model; only with variant all."
    )


class InferAnswer(BaseModel):
    """Outputs for tensors; what was found for images, by the model's task."""

    model: str
    version: str
    outputs: list[Any] | dict[str, Any] | None = None
    labels: list[list[Label]] | None = None
    boxes: list[list[Box]] | None = Field(default=None, description="Objects of each image.")
    masks: list[Mask] | None = Field(default=None, description="Mask of each image.")
    keypoints: list[list[Pose]] | None = Field(
        default=None, description="Objects in each image, by their keypoints."
    )
    texts: list[Text] | None = Field(default=None, description="Text of each image.")
    images: list[ImageSize] | None = None
    warnings: list[str] = Field(default_factory=list)
    base: BaseAnswer | None = None
    int8: Int8Answer | None = None
    comparison: ComparisonAnswer | None = None


_RESPONSES: dict[str, Any] = {
    "200": {
        "description": "JSON, or one array as .npy if Accept asks for it.",
        "content": {
            "application/json": {"schema": reference(InferAnswer)},
            MEDIA_TYPE: _BINARY,
        },
    },
    "default": RESPONSES["default"],
}
_REQUEST: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": reference(TensorsBody),
            "example": {"model": "mdl_01JD0000000000000000000000", "inputs": [[[[0.1, 0.2]]]]},
        },
        MEDIA_TYPE: _BINARY,
        "image/png": _BINARY,
        "image/jpeg": _BINARY,
        "image/webp": _BINARY,
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "file": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                    },
                    "model": {"type": "string"},
                },
            }
        },
    },
}


def operation(name: str, what: str, *parameters: str) -> Operation:
    """Return the OpenAPI operation of a route that runs ``what``."""
    return Operation(
        name,
        f"Run {what} on tensors (``outputs``) or images (``labels``, ``boxes``, ``masks``, "
        "``keypoints``, ``texts``).",
        "inference",
        [*parameters_of(Question, *parameters), *parameters_of(Parameters)],
        _REQUEST,
        _RESPONSES,
    )

"""Responses of inference, and the inputs and outputs of models."""

from typing import Any

from pydantic import Field

from secateur.types.base import Answer


class Label(Answer):
    """A class and its score for one image."""

    label: str
    index: int
    score: float


class VariantSeconds(Answer):
    """The computing time of both networks' batches, in seconds."""

    base: float
    pruned: float
    int8: float | None = None


class Difference(Answer):
    """How far two forms of a model differ on the same inputs."""

    agreement: float
    max_difference: float


class ComparisonAnswer(Answer):
    """How far the dense and the pruned network differ on the same inputs."""

    agreement: float
    max_difference: float
    seconds: VariantSeconds
    int8: Difference | None = None


class Box(Answer):
    """One object in an image."""

    label: str
    index: int
    score: float
    box: tuple[float, float, float, float]


class ClassShare(Answer):
    """One class of a mask."""

    label: str
    index: int
    share: float


class Mask(Answer):
    """The classes of the pixels of one image: a PNG in base64 whose values are the classes."""

    png: str
    width: int
    height: int
    classes: list[ClassShare]


class Keypoint(Answer):
    """One keypoint of an object, in pixels of the image."""

    label: str
    index: int
    x: float
    y: float
    score: float


class Pose(Answer):
    """One object in an image by its keypoints; those that are not sure enough are left out."""

    score: float
    box: tuple[float, float, float, float]
    points: list[Keypoint]


class Text(Answer):
    """The text of one image."""

    text: str
    score: float


class ImageSize(Answer):
    """Size of an image, upright, in pixels."""

    width: int
    height: int


class BaseAnswer(Answer):
    """The outputs of the model that the named model was pruned from."""

    model: str
    version: str
    outputs: list[Any] | dict[str, Any] | None = None
    boxes: list[list[Box]] | None = None
    masks: list[Mask] | None = None
    keypoints: list[list[Pose]] | None = None
    texts: list[Text] | None = None
    images: list[ImageSize] | None = None


class Int8Answer(Answer):
    """The outputs of the int8 form of the named model."""

    outputs: list[Any] | dict[str, Any] | None = None
    boxes: list[list[Box]] | None = None
    masks: list[Mask] | None = None
    keypoints: list[list[Pose]] | None = None
    texts: list[Text] | None = None
    images: list[ImageSize] | None = None


class InferAnswer(Answer):
    """A response of ``/infer``: outputs for tensors; what was found for images."""

    model: str
    version: str
    outputs: list[Any] | dict[str, Any] | None = None
    labels: list[list[Label]] | None = None
    boxes: list[list[Box]] | None = None
    masks: list[Mask] | None = None
    keypoints: list[list[Pose]] | None = None
    texts: list[Text] | None = None
    images: list[ImageSize] | None = None
    warnings: list[str] = Field(default_factory=list)
    base: BaseAnswer | None = None
    int8: Int8Answer | None = None
    comparison: ComparisonAnswer | None = None


class TensorMetadata(Answer):
    """An input or output of a model; -1 in the shape is a dynamic size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Answer):
    """A model's inputs and outputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]

"""What models answer, and what they take."""

from typing import Any

from secateur.types.base import Answer


class Label(Answer):
    """One class of one image."""

    label: str
    index: int
    score: float


class VariantSeconds(Answer):
    """How long the batches of both networks took to compute."""

    base: float
    pruned: float


class ComparisonAnswer(Answer):
    """How the dense and the pruned network differ on the same inputs."""

    agreement: float
    max_difference: float
    seconds: VariantSeconds


class BaseAnswer(Answer):
    """What the model answered that the named one was pruned from."""

    model: str
    version: str
    outputs: list[Any] | dict[str, Any]


class InferAnswer(Answer):
    """Outputs for tensors, labels for images, as they come over HTTP."""

    model: str
    version: str
    outputs: list[Any] | dict[str, Any] | None = None
    labels: list[list[Label]] | None = None
    base: BaseAnswer | None = None
    comparison: ComparisonAnswer | None = None


class TensorMetadata(Answer):
    """An input or output; -1 is any size."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(Answer):
    """What a model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]

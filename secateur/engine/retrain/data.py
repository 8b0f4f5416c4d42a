"""The samples that a network is trained and scored on."""

from dataclasses import dataclass

from torch import Tensor

from secateur.engine.objectives.labels import LabelKind
from secateur.engine.samples import SampleSource


@dataclass(frozen=True)
class TrainingData:
    """A source and which of its samples train and validate.

    Attributes:
        source: The samples.
        train: int64 indices of the training samples.
        validation: int64 indices of the samples on which every epoch is scored; may be empty.
        labels: What the source's labels are.
    """

    source: SampleSource
    train: Tensor
    validation: Tensor
    labels: LabelKind = "classes"

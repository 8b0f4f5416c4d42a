"""The samples for training and validation."""

from dataclasses import dataclass

from torch import Tensor

from secateur.engine.metrics.reading import PLAIN, Reading
from secateur.engine.objectives.labels import LabelKind
from secateur.engine.samples import SampleSource


@dataclass(frozen=True)
class TrainingData:
    """A sample source and its split into training and validation samples.

    Attributes:
        source: The samples.
        train: int64 indices of the training samples.
        validation: int64 indices of the samples that score every epoch; may be empty.
        labels: The kind of the source's labels.
        reading: The form of the network's outputs.
    """

    source: SampleSource
    train: Tensor
    validation: Tensor
    labels: LabelKind = "classes"
    reading: Reading = PLAIN

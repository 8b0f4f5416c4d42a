"""The list of label kinds. To add one: a file that defines its record, and a line here."""

from collections.abc import Mapping
from types import MappingProxyType

from secateur.engine.metrics.binary import BINARY
from secateur.engine.metrics.classes import CLASSES
from secateur.engine.metrics.metric import METRICS
from secateur.engine.metrics.multi_label import MULTI_LABEL
from secateur.engine.metrics.numbers import NUMBERS
from secateur.engine.metrics.reference import NONE
from secateur.engine.metrics.scoring import Scoring
from secateur.engine.objectives.labels import LabelKind

_ALL = (CLASSES, BINARY, MULTI_LABEL, NUMBERS, NONE)

SCORINGS: Mapping[LabelKind, Scoring] = MappingProxyType({each.labels: each for each in _ALL})


def primary_metric(labels: LabelKind, *, has_scores: bool) -> str:
    """Return the name of the metric that counts for a kind of labels.

    Args:
        labels: The kind.
        has_scores: Whether the network has scores of classes to compare with the reference's.
    """
    names = SCORINGS[labels].metrics
    return next(name for name in names if has_scores or not METRICS[name].compares_scores)

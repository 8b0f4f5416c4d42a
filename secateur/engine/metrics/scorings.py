"""The list of label kinds. To add one, define its record in a new file and add a line here."""

from collections.abc import Mapping
from types import MappingProxyType

from secateur.engine.metrics.binary import BINARY
from secateur.engine.metrics.boxes import BOXES
from secateur.engine.metrics.classes import CLASSES
from secateur.engine.metrics.identities import IDENTITIES
from secateur.engine.metrics.keypoints import KEYPOINTS
from secateur.engine.metrics.masks import MASKS
from secateur.engine.metrics.metric import Metric
from secateur.engine.metrics.multi_label import MULTI_LABEL
from secateur.engine.metrics.numbers import NUMBERS
from secateur.engine.metrics.reference import NONE
from secateur.engine.metrics.scoring import Scoring
from secateur.engine.metrics.texts import TEXTS
from secateur.engine.objectives.labels import LabelKind
from secateur.engine.objectives.objective import Objective

_ALL = (CLASSES, BINARY, MULTI_LABEL, NUMBERS, MASKS, TEXTS, BOXES, KEYPOINTS, IDENTITIES, NONE)

SCORINGS: Mapping[LabelKind, Scoring] = MappingProxyType({each.labels: each for each in _ALL})
METRICS: Mapping[str, Metric] = MappingProxyType(
    {metric.name: metric for each in _ALL for metric in each.metrics}
)


def accepted_labels(objective: Objective) -> tuple[LabelKind, ...]:
    """Return the kinds of labels that an objective accepts; empty if it accepts any."""
    if objective.labels is None:
        return ()
    return tuple(
        kind
        for kind, each in SCORINGS.items()
        if kind in objective.labels or each.objective is objective
    )


def primary_metric(labels: LabelKind, *, has_scores: bool) -> str:
    """Return the name of the primary metric for a kind of labels.

    Args:
        labels: Kind of labels.
        has_scores: Whether the network has class scores to compare with the reference's.
    """
    metrics = SCORINGS[labels].metrics
    return next(each.name for each in metrics if has_scores or not each.compares_scores)

"""The metrics of a network: their names in reports, and how their values are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Metric:
    """One number that says how good a network is.

    Attributes:
        name: What reports call it.
        words: What people call it.
        is_share: Whether it lies in [0, 1] and is read in percent.
        is_less_better: Whether the smaller of two values is the better one.
        compares_scores: Whether it compares scores of classes with the reference's; a network
            without such outputs does not have it.
    """

    name: str
    words: str
    is_share: bool = True
    is_less_better: bool = False
    compares_scores: bool = False

    def score(self, value: float) -> float:
        """Return a value negated where less is better: higher is better."""
        return -value if self.is_less_better else value


_ALL = (
    Metric("top1", "accuracy"),
    Metric("top5", "top-5 accuracy"),
    Metric("macro_f1", "macro-F1"),
    Metric("mean_error", "mean absolute error", is_share=False, is_less_better=True),
    Metric("agreement", "agreement with the dense network", compares_scores=True),
    Metric("output_error", "distance to the dense network's outputs", is_less_better=True),
)

METRICS: Mapping[str, Metric] = MappingProxyType({each.name: each for each in _ALL})

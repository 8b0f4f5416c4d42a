"""The record of a metric: its name in reports, and how its values are read."""

from dataclasses import dataclass


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


# What several kinds of labels share; other metrics stand beside the sums that measure them.
TOP1 = Metric("top1", "accuracy")
MACRO_F1 = Metric("macro_f1", "macro-F1")

"""The record of a metric: its name, and how to read its values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One measure of a network's quality.

    Attributes:
        name: Key in reports.
        words: Name in text.
        is_share: Whether values lie in [0, 1] and are shown as percentages.
        is_less_better: Whether smaller values are better.
        compares_scores: Whether it compares class scores with the reference's; it does not apply
            to networks without class scores.
    """

    name: str
    words: str
    is_share: bool = True
    is_less_better: bool = False
    compares_scores: bool = False

    def score(self, value: float) -> float:
        """Return ``value``, negated if smaller is better, so that higher is always better."""
        return -value if self.is_less_better else value


# Shared by several kinds of labels. Every other metric is defined next to its tally.
TOP1 = Metric("top1", "accuracy")
MACRO_F1 = Metric("macro_f1", "macro-F1")

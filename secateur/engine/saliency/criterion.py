"""The record of a criterion: its function, and what callers must know about it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.graph import Analysis
from secateur.engine.program.program import Program
from secateur.engine.saliency.options import CalibrationBatches, SaliencyOptions

Needs = Literal["weights", "samples", "classes"]
Score = Callable[[Program, Analysis, CalibrationBatches, SaliencyOptions], dict[str, Tensor]]


@dataclass(frozen=True)
class Criterion:
    """One way to measure how much every channel group matters.

    Attributes:
        name: What configs call it.
        words: What the saliency of a filter is, to end the sentence "its saliency is …".
        score: Returns for each family its scores, (num_groups,) in float64.
        needs: What it reads: the ``weights`` alone, calibration ``samples`` too, or samples whose
            labels are ``classes``.
        is_cheap: Whether it costs at most one backward pass over the samples.
        is_baseline: Whether others are only compared with it: `auto` tries it and never takes it.
        cost: What it takes, in words.
        source: Author, year and paper; or the patent's claim.
    """

    name: str
    words: str
    score: Score
    needs: Needs = "weights"
    is_cheap: bool = True
    is_baseline: bool = False
    cost: str = "nothing"
    source: str = ""

    def __call__(
        self,
        program: Program,
        analysis: Analysis,
        batches: CalibrationBatches | None,
        options: SaliencyOptions,
    ) -> dict[str, Tensor]:
        """Return for each family its scores (num_groups,), in float64.

        Raises:
            DataError: There are no batches, or no labels, and the criterion needs them.
        """
        if self.needs == "samples" and not batches:
            raise DataError(f"the criterion {self.name!r} needs calibration samples")
        if self.needs == "classes" and not has_labels(batches):
            raise DataError(f"the criterion {self.name!r} needs labelled calibration samples")
        return self.score(program, analysis, batches or (), options)


def has_labels(batches: CalibrationBatches | None) -> bool:
    """Return whether there are samples, and each has a label."""
    return bool(batches) and all(batch.labels is not None for batch in batches or ())

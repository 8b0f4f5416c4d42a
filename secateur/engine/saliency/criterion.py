"""The record of a criterion: its scoring function, requirements and cost."""

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
    """One measure of how much every channel group matters.

    Attributes:
        name: Name in configs.
        words: End of the sentence "its saliency is …" in reports.
        score: Returns the scores of each family, (num_groups,) in float64. Program, batches and the
            indices of the analysis are on one device; new tensors must be made there, too.
        needs: Required input: the ``weights`` alone, calibration ``samples`` too, or samples with
            ``classes`` as labels.
        is_cheap: Whether it costs at most one backward pass over the samples.
        is_baseline: Whether it serves only for comparison: `auto` tries it but never selects it.
        cost: Cost in words, for docs.
        source: Author, year and paper, or the claim of the patent.
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
        """Return the scores of each family, (num_groups,) in float64 on the CPU.

        They are computed on the program's device, where the batches must be, too.

        Raises:
            DataError: The criterion needs batches or labels, and there are none.
        """
        if self.needs == "samples" and not batches:
            raise DataError(f"the criterion {self.name!r} needs calibration samples")
        if self.needs == "classes" and not has_labels(batches):
            raise DataError(f"the criterion {self.name!r} needs labelled calibration samples")
        found = self.score(program, analysis.to(program.device), batches or (), options)
        return {name: scores_G.cpu() for name, scores_G in found.items()}


def has_labels(batches: CalibrationBatches | None) -> bool:
    """Return whether there are batches and all of them have labels."""
    return bool(batches) and all(batch.labels is not None for batch in batches or ())

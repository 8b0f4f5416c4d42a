"""Metrics against the dense network's outputs, with or without labels."""

import torch
from torch import Tensor

from secateur.engine.intervals import proportion_interval
from secateur.engine.metrics.doubt import Doubt
from secateur.engine.metrics.metric import Metric
from secateur.engine.metrics.scoring import Scoring
from secateur.engine.objectives.distill import DISTILL
from secateur.engine.objectives.outputs import float_outputs
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program

_CACHE_BYTES = 256 * 1024**2


class Reference:
    """Cached outputs of the dense network on the compared samples, up to 256 MiB."""

    def __init__(self, program: Program) -> None:
        self._module = ProgramModule(program, copy=False).eval()
        self._cached: dict[bytes, list[Tensor]] = {}
        self._num_bytes = 0

    def outputs(self, x: Tensor, indices: Tensor) -> list[Tensor]:
        """Return the float outputs for inputs ``x`` (N, ...) of the samples ``indices`` (N,)."""
        key = indices.numpy().tobytes()
        found = self._cached.get(key)
        if found is None:
            found = float_outputs(self._module.run((x,)))
            size = sum(output.nbytes for output in found)
            if self._num_bytes + size <= _CACHE_BYTES:
                self._cached[key] = found
                self._num_bytes += size
        return found


class AgainstReference:
    """Distance of outputs from the reference's, and the share of equal best classes."""

    def __init__(self, scores: tuple[int, ...]) -> None:
        self._scores = scores
        self._num_equal = 0
        self._squares: list[tuple[float, float]] = []

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        """Add a batch: float outputs, labels, and the reference's outputs."""
        del labels
        squares = [
            (float((a.double() - b.double()).square().sum()), float(b.double().square().sum()))
            for a, b in zip(outputs, wanted, strict=True)
        ]
        before = self._squares or [(0.0, 0.0)] * len(squares)
        self._squares = [(a + c, b + d) for (a, b), (c, d) in zip(before, squares, strict=True)]
        if self._scores:
            is_equal = torch.stack(
                [outputs[i].argmax(1) == wanted[i].argmax(1) for i in self._scores]
            )
            self._num_equal += int(is_equal.all(0).sum())

    def values(self, num_samples: int) -> dict[str, float]:
        """Return the metrics of all samples by name."""
        found = {"output_error": self._relative_square() ** 0.5}
        if self._scores:
            found["agreement"] = self._num_equal / max(1, num_samples)
        return found

    def loss(self, num_samples: int) -> float:
        """Return the squared relative distance to the reference's outputs."""
        del num_samples
        return self._relative_square()

    def doubt(self, num_samples: int) -> Doubt:
        """Return the confidence intervals of the primary metric."""
        if not self._scores:
            return Doubt()  # a distance over all outputs has no known interval
        return Doubt(proportion_interval(self._num_equal, num_samples))

    def _relative_square(self) -> float:
        """Return the squared distance over the squared norm, averaged over outputs."""
        shares = [error / max(norm, 1e-30) for error, norm in self._squares]
        return sum(shares) / max(1, len(shares))


AGREEMENT = Metric("agreement", "agreement with the dense network", compares_scores=True)
OUTPUT_ERROR = Metric(
    "output_error", "distance to the dense network's outputs", is_less_better=True
)
NONE = Scoring(
    "none",
    DISTILL,
    "none",
    "squared distance to the dense network's outputs",
    (AGREEMENT, OUTPUT_ERROR),
    None,
)

"""Metrics against the dense network's outputs, with or without labels."""

import torch
from torch import Tensor

from secateur.engine.intervals import proportion_interval
from secateur.engine.metrics.doubt import ByClass, Doubt
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
        """Prepare to run ``program`` on its device."""
        self._module = ProgramModule(program, copy=False).eval()
        self._cached: dict[bytes, list[Tensor]] = {}
        self._num_bytes = 0

    def outputs(self, x: Tensor, indices: Tensor) -> list[Tensor]:
        """Return the float outputs for inputs ``x`` (N, ...) of the samples ``indices`` (N,).

        They are where ``x`` is; the program may be elsewhere.
        """
        key = indices.numpy().tobytes()
        found = self._cached.get(key)
        if found is None:
            found = float_outputs(self._module.run((x.to(self._module.device),)))
            size = sum(output.nbytes for output in found)
            if self._num_bytes + size <= _CACHE_BYTES:
                self._cached[key] = found
                self._num_bytes += size
        return [output.to(x.device) for output in found]


class AgainstReference:
    """Distance of outputs from the reference's, and the share of equal best classes."""

    def __init__(self, scores: tuple[int, ...]) -> None:
        self._scores = scores
        self._num_equal = torch.zeros((), dtype=torch.int64)
        self._squares: list[Tensor] = []  # (error, norm) of each output

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        """Add a batch: float outputs, labels, and the reference's outputs."""
        del labels
        squares = [
            torch.stack([(a.double() - b.double()).square().sum(), b.double().square().sum()])
            for a, b in zip(outputs, wanted, strict=True)
        ]
        before = self._squares or [torch.zeros_like(square) for square in squares]
        self._squares = [a + b for a, b in zip(before, squares, strict=True)]
        if self._scores:
            is_equal = torch.stack(
                [outputs[i].argmax(1) == wanted[i].argmax(1) for i in self._scores]
            )
            self._num_equal = self._num_equal + is_equal.all(0).sum()

    def values(self, num_samples: int) -> dict[str, float]:
        """Return the metrics of all samples by name."""
        found = {"output_error": self._relative_square() ** 0.5}
        if self._scores:
            found["agreement"] = int(self._num_equal) / max(1, num_samples)
        return found

    def loss(self, num_samples: int) -> float:
        """Return the squared relative distance to the reference's outputs."""
        del num_samples
        return self._relative_square()

    def doubt(self, num_samples: int) -> Doubt:
        """Return the confidence intervals of the primary metric."""
        if not self._scores:
            return Doubt()  # a distance over all outputs has no known interval
        return Doubt(proportion_interval(int(self._num_equal), num_samples))

    def by_class(self, num_samples: int) -> tuple[ByClass, ...]:
        """Return the metrics of every class; none."""
        del num_samples
        return ()

    def _relative_square(self) -> float:
        """Return the squared distance over the squared norm, averaged over outputs."""
        pairs = [square.tolist() for square in self._squares]
        shares: list[float] = [error / max(norm, 1e-30) for error, norm in pairs]
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
    needs_reference=True,
)

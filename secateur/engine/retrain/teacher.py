"""The teacher: the dense network, run on the batches that train the pruned network."""

import torch
from torch import Tensor, fx

from secateur.engine.objectives.outputs import before_endings, float_outputs
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.samples import SampleSource, spread

NUM_SCALED = 512  # samples that measure the outputs' variances
_BATCH_SIZE = 128
_TINY = 1e-12


class Teacher:
    """A network in inference mode; it never changes.

    Attributes:
        program: The network.
        scales: Variance of each float output over samples. Errors are divided by it, so that boxes
            in pixels and probabilities weigh the same.
    """

    def __init__(
        self,
        program: Program,
        source: SampleSource,
        indices: Tensor,
        *,
        is_before_ending: bool = False,
    ) -> None:
        """Measure the outputs' variances on up to 512 of the samples ``indices``.

        Args:
            program: The network.
            source: The samples.
            indices: int64 indices of the samples to use, (N,).
            is_before_ending: Whether outputs count before a last softmax or sigmoid.
        """
        self.program = program
        outputs = before_endings(program) if is_before_ending else None
        laid_out = program.map_tensors(_lay_out)
        self._module = ProgramModule(laid_out, copy=False, outputs=outputs).eval()
        self.scales = self._measure(source, spread(indices, NUM_SCALED))

    def answer(
        self, x: Tensor, kept: tuple[fx.Node, ...] = ()
    ) -> tuple[list[object], list[Tensor]]:
        """Return the flat outputs and the values of the nodes ``kept`` for inputs (N, ...)."""
        with torch.no_grad():
            if not kept:
                return self._module.run((x,)), []
            return self._module.run_and_keep((x,), kept)

    def _measure(self, source: SampleSource, indices: Tensor) -> tuple[float, ...]:
        chunks: list[list[Tensor]] = []
        for part in indices.split(_BATCH_SIZE):
            outputs, _ = self.answer(source.batch(part)[0])
            chunks.append(float_outputs(outputs))
        joined = [torch.cat(parts).double() for parts in zip(*chunks, strict=True)]
        return tuple(
            max(_TINY, float((output - output.mean(0)).square().mean())) for output in joined
        )


def _lay_out(tensor: Tensor) -> Tensor:
    is_kernel = tensor.ndim == 4  # noqa: PLR2004  # (O, I, H, W)
    return tensor.contiguous(memory_format=torch.channels_last) if is_kernel else tensor

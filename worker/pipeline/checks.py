"""Does the data set fit the network? Asked before any work is done."""

import torch

from worker.engine.errors import DataError
from worker.engine.program.module import ProgramModule
from worker.engine.program.program import Program
from worker.pipeline.data import Dataset

_LOGITS_RANK = 2


@torch.no_grad()
def check_fit(program: Program, dataset: Dataset) -> None:
    """Raise `DataError` unless the network takes the samples and scores the labels' classes."""
    if len(program.inputs) != 1:
        raise DataError(f"the network takes {len(program.inputs)} inputs, a data set feeds one")
    expected = program.inputs[0].shape[1:]
    if dataset.sample_shape != expected:
        raise DataError(
            f"samples have shape {list(dataset.sample_shape)}, the network takes {list(expected)}"
        )
    x, _ = dataset.batch(torch.zeros(1, dtype=torch.int64))
    output = ProgramModule(program, copy=False).eval().run((x,))[0]
    if output.dim() != _LOGITS_RANK:
        raise DataError(
            f"the network returns {list(output.shape)}; cross_entropy needs (N, num_classes)"
        )
    if dataset.num_classes > output.shape[1]:
        raise DataError(
            f"labels go up to {dataset.num_classes - 1}, the network scores "
            f"{output.shape[1]} classes"
        )

"""Does the network compute, and does the data set fit it? Asked before any work is done."""

import torch
from torch import Tensor

from worker.engine.errors import DataError, ModelRejectedError
from worker.engine.program.module import ProgramModule
from worker.engine.program.program import Program
from worker.engine.program.shapes import propagate
from worker.engine.retrain.objectives import fit_numbers
from worker.pipeline.data import Dataset
from worker.pipeline.failures import is_out_of_memory

_LOGITS_RANK = 2


@torch.no_grad()
def check_computes(program: Program) -> None:
    """Raise `ModelRejectedError` unless the network computes what its shapes promise.

    Torch lets shapes alone through that no kernel computes: a convolution's bias of another width.
    """
    try:
        outputs = ProgramModule(program, copy=False).eval().run(program.example_inputs(2))
    except (RuntimeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise ModelRejectedError(f"the network cannot be computed: {reason}") from error
    promised = propagate(program)[program.graph.output_node()]
    for number, (found, said) in enumerate(zip(outputs, promised, strict=True)):
        if isinstance(found, Tensor) and found.shape != said.shape:
            raise ModelRejectedError(
                f"output {number} has shape {list(found.shape)}, not {list(said.shape)}"
            )


@torch.no_grad()
def check_fit(program: Program, dataset: Dataset) -> None:
    """Raise `DataError` unless the network takes the samples and its outputs fit the labels."""
    if len(program.inputs) != 1:
        raise DataError(f"the network takes {len(program.inputs)} inputs, a data set feeds one")
    expected = program.inputs[0].shape[1:]
    if dataset.sample_shape != expected:
        raise DataError(
            f"samples have shape {list(dataset.sample_shape)}, the network takes {list(expected)}"
        )
    x, y = dataset.batch(torch.zeros(1, dtype=torch.int64))
    outputs = ProgramModule(program, copy=False).eval().run((x,))
    found = [o for o in outputs if isinstance(o, Tensor) and o.is_floating_point()]
    if not found:
        raise DataError("the network returns no numbers of floating point")
    if dataset.labels_kind == "classes":
        _check_classes(found[0], dataset.num_classes)
    elif dataset.labels_kind != "none":
        fit_numbers(y, found[0])


def _check_classes(output: Tensor, num_classes: int) -> None:
    if output.dim() != _LOGITS_RANK:
        raise DataError(
            f"the network returns {list(output.shape)}; cross_entropy needs (N, num_classes)"
        )
    if num_classes > output.shape[1]:
        raise DataError(
            f"labels go up to {num_classes - 1}, the network scores {output.shape[1]} classes"
        )

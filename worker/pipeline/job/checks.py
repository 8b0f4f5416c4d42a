"""Early checks: the network runs, and the data set fits it."""

from math import prod

import torch
from torch import Tensor

from app.contracts.spec import PruneConfig
from app.contracts.task_spec import StoredTask
from secateur.core.tasks import task_of
from secateur.engine.errors import DataError, ModelRejectedError
from secateur.engine.objectives.outputs import activation
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import num_analysed, propagate
from worker.pipeline.data import Dataset
from worker.pipeline.job.chosen import ChosenTask
from worker.pipeline.job.failures import is_out_of_memory
from worker.pipeline.job.fit import fit_labels
from worker.pipeline.job.tasks import choose_task

_IMAGE_RANK = 3  # channels, height, width


@torch.no_grad()
def check_computes(program: Program) -> None:
    """Run the network once and compare its outputs with the propagated shapes.

    Shape propagation accepts some graphs that no kernel can run, such as a convolution whose bias
    has the wrong width.

    Raises:
        ModelRejectedError: The network cannot run, or an output has an unexpected shape.
    """
    try:
        inputs = program.example_inputs(num_analysed(program))
        outputs = ProgramModule(program, copy=False).eval().run_once(inputs)
    except (RuntimeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise ModelRejectedError(f"the network cannot be computed: {reason}") from error
    propagated = propagate(program)[program.graph.output_node()]
    for number, (found, expected) in enumerate(zip(outputs, propagated, strict=True)):
        if isinstance(found, Tensor) and found.shape != expected.shape:
            raise ModelRejectedError(
                f"output {number} has shape {list(found.shape)}, not {list(expected.shape)}"
            )


def _reshaping(found: tuple[int, ...], expected: tuple[int | None, ...]) -> str:
    """Return how to convert samples to the expected shape; empty if there is no obvious way."""
    sizes = [size or 0 for size in expected]
    if prod(found) == prod(sizes):
        return "Both shapes have the same number of values: use x.reshape or np.moveaxis."
    if len(found) != len(sizes) or len(sizes) != _IMAGE_RANK:
        return ""
    todo = []
    if found[1:] != tuple(sizes[1:]):
        todo.append(f"resize the images to {sizes[1]} x {sizes[2]} pixels")
    if found[0] != sizes[0]:
        todo.append(f"convert them to {sizes[0]} channel{'' if sizes[0] == 1 else 's'}")
    text = " and ".join(todo)
    return (
        f"{text[0].upper()}{text[1:]}. Image files in a .zip are converted automatically unless "
        "preprocess.resize or preprocess.channels is set."
    )


@torch.no_grad()
def check_fit(
    program: Program, dataset: Dataset, config: PruneConfig
) -> tuple[Dataset, ChosenTask, list[str]]:
    """Return the data set with its labels read to fit the network, its task, and notes.

    Raises:
        DataError: The samples do not fit the network's input, or the labels its outputs.
    """
    if len(program.inputs) != 1:
        raise DataError(
            f"the network takes {len(program.inputs)} inputs, a data set can feed only one"
        )
    dtype = program.inputs[0].given_dtype
    if not dtype.is_floating_point:
        raise DataError(
            f"the network takes {str(dtype)[6:]}, a data set feeds floating-point numbers: prune "
            "without data, or export a network that takes floats and casts them itself"
        )
    expected = program.inputs[0].shape[1:]
    if dataset.sample_shape != expected:
        raise DataError(
            f"samples have shape {list(dataset.sample_shape)}, the network takes {list(expected)}",
            hint=_reshaping(dataset.sample_shape, expected),
        )
    x, _ = dataset.first()
    outputs = ProgramModule(program, copy=False).eval().run((x,))
    found = [
        (index, output)
        for index, output in enumerate(outputs)
        if isinstance(output, Tensor) and output.is_floating_point()
    ]
    if not found:
        raise DataError("the network has no floating-point output")
    index, output = found[0]
    ending = activation(program, index)
    dataset, chosen = choose_task(
        config, dataset, [each for _, each in found], dataset.sample_shape[1:], ending
    )
    dataset, notes = fit_labels(dataset, output, ending, config.retrain.objective)
    if dataset.labels_kind != "none" and dataset.labels_kind not in chosen.task.labels:
        chosen = ChosenTask(task := task_of(dataset.labels_kind), StoredTask(name=task.name))
    return dataset, chosen, [*chosen.notes, *notes]

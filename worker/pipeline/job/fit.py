"""Match labels to the network's output: classes, binary, multi-label or numbers."""

from collections.abc import Iterator

from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.metrics import accepted_labels
from secateur.engine.objectives import OBJECTIVES
from secateur.engine.objectives.labels import fit_numbers
from secateur.engine.objectives.outputs import Activation
from worker.pipeline.data import Dataset
from worker.pipeline.data.left_out import shown

_LOGITS_RANK = 2
_TWO = 2
_MANY = 4  # with this many times more outputs than classes, the classes probably differ


def fit_labels(
    dataset: Dataset, output: Tensor, activation: Activation, objective: str
) -> tuple[Dataset, list[str]]:
    """Return the data set with its labels read to fit the network's first output, and notes.

    Args:
        dataset: Data set with labels as stored in its file.
        output: The network's first output for the data set's first sample.
        activation: Final activation of that output.
        objective: Objective from the config; ``auto`` chooses it from the labels.

    Raises:
        DataError: The labels do not fit the output.
    """
    if dataset.labels_kind == "classes":
        return _fit_classes(dataset, output, activation, objective)
    if dataset.labels_kind in {"numbers", "multi_label", "binary"}:
        _, labels = dataset.first()
        fit_numbers(labels, output)
    return dataset, []


def _fit_classes(
    dataset: Dataset, output: Tensor, activation: Activation, objective: str
) -> tuple[Dataset, list[str]]:
    num_classes, width = dataset.num_classes, _width(output)
    may_be_numbers = not dataset.are_labels_named and not dataset.are_labels_one_hot
    wanted = accepted_labels(OBJECTIVES[objective]) if objective in OBJECTIVES else ()  # auto: any
    if "numbers" in wanted and may_be_numbers:
        return _numbers(dataset, output, f"the objective is {objective!r}")
    is_asked = "multi_label" in wanted
    is_usual = activation == "sigmoid" and objective == "auto"
    if dataset.are_labels_one_hot and width == num_classes and (is_asked or is_usual):
        why = f"the objective is {objective!r}" if is_asked else "the network ends in a sigmoid"
        return dataset.labels_as("multi_label"), [
            f"the one-hot labels are read as several classes per sample, because {why}"
        ]
    if width == 1 and num_classes <= _TWO and not dataset.are_labels_one_hot:
        name = dataset.class_names[1] if num_classes == _TWO else "1"
        over = "one half" if activation == "sigmoid" else "0"
        return dataset.labels_as("binary"), [
            f"the network returns one score for two classes: above {over} means {name!r}"
        ]
    if width == 1 and may_be_numbers:
        return _numbers(dataset, output, "the network returns one number")
    if output.dim() != _LOGITS_RANK:
        raise DataError(
            f"the network returns {list(output.shape)}; cross_entropy needs (N, num_classes)"
        )
    if num_classes > width:
        message, hint = _too_many(dataset, width)
        raise DataError(message, hint=hint)
    return dataset, list(_class_notes(dataset, width))


def _width(output: Tensor) -> int:
    """Return the number of scores per sample: 1 for (N,) and (N, 1)."""
    return output.numel() // max(1, len(output)) if output.dim() > 0 else 1


def _numbers(dataset: Dataset, output: Tensor, why: str) -> tuple[Dataset, list[str]]:
    found = dataset.labels_as("numbers")
    _, labels = found.first()
    fit_numbers(labels, output)
    return found, [f"the labels are whole numbers and are read as numbers, because {why}"]


def _too_many(dataset: Dataset, width: int) -> tuple[str, str]:
    """Return the message and the hint for labels beyond the network's outputs."""
    high, last = dataset.num_classes - 1, width - 1
    message = f"labels go up to {high}, the network scores {width} classes"
    if dataset.are_labels_named:
        return f"{message}: the data set names {shown(dataset.class_names)}", (
            f"Upload samples of the network's own {width} classes, or a network with "
            f"{dataset.num_classes} outputs."
        )
    if width == 1:
        hint = "Number the classes 0 and 1, or use a network with an output for each class."
        return f"{message}: one score tells two classes apart, with labels 0 and 1", hint
    if high == width and dataset.lowest_class == 1:
        hint = "Classes count from 0: subtract 1 from every label."
        return f"{message}, 0 to {last}: do the labels begin at 1?", hint
    if high == width and dataset.lowest_class == 0:
        hint = (
            f"Leave out the samples of that label and number the others 0 to {last}, or use a "
            f"network with {dataset.num_classes} outputs."
        )
        return f"{message}, 0 to {last}: is one of the labels 'background' or 'other'?", hint
    hint = f"Number the labels as the network's outputs are, 0 to {last}."
    return f"{message}, 0 to {last}", hint


def _class_notes(dataset: Dataset, width: int) -> Iterator[str]:
    """Yield notes about mismatched class counts when every label has an output."""
    num_classes = max(dataset.num_classes, len(dataset.class_names))
    if num_classes > width:
        yield (
            f"the data set names {num_classes} classes, the network scores {width}; no sample "
            "belongs to the extra classes"
        )
    if num_classes >= width:
        return
    note = f"the network scores {width} classes, the data set has {num_classes}"
    if width >= _MANY * num_classes:
        yield (
            f"{note}: class 0 of the data set, {dataset.class_names[0]!r}, is compared with output "
            "0 of the network. If they are not the same classes, no metric means anything"
        )
    elif dataset.lowest_class == 1 and not dataset.are_labels_named:
        yield f"{note}: no label is 0. Do they begin at 1? Classes count from 0"
    else:
        yield note

"""The task of a job: asked for, or found from labels and outputs; and the form of the outputs."""

from collections.abc import Sequence

from torch import Tensor

from app.contracts.decoding.detector import Detector
from app.contracts.decoding.heads import HEADS, Head, find_heads, is_usual_detector
from app.contracts.decoding.masks import is_mask_shape
from app.contracts.decoding.texts import class_axis
from app.contracts.spec import PruneConfig
from app.contracts.task_spec import HeadSpec, StoredTask
from secateur.core.formats import alternatives
from secateur.core.tasks import TASKS, Task, task_of
from secateur.engine.errors import DataError
from secateur.engine.metrics import Reading
from secateur.engine.objectives.outputs import Activation
from worker.pipeline.data import Dataset, Split
from worker.pipeline.job.chosen import ADVICE, ChosenTask, shown_shape
from worker.pipeline.job.keypoints import choose_keypoints

# mAP counts boxes at every score; below this they are too many, and change no digit.
_LEAST_SCORE = 0.01
_TWO = 2


def choose_task(
    config: PruneConfig,
    dataset: Dataset,
    outputs: Sequence[Tensor],
    size: tuple[int, ...],
    activation: Activation,
) -> tuple[Dataset, ChosenTask]:
    """Return the task, and the data set with the labels that count for it.

    Args:
        config: The job's config.
        dataset: The data set.
        outputs: The network's float outputs for the first sample.
        size: Height and width of the input, if it is an image.
        activation: The activation that ends the first output.

    Raises:
        DataError: The labels or the outputs do not fit the task.
    """
    shapes, is_image = [tuple(each.shape) for each in outputs], len(size) == _TWO
    is_detector = is_image and bool(_heads(outputs, size))
    is_detector = is_detector and is_usual_detector(shapes, (size[0], size[1]))
    task = _task(config, dataset, is_detector=is_detector)
    if task.name == "custom":
        has_labels = dataset.labels_kind != "none"
        notes = ("the task is custom: the labels are not used",) if has_labels else ()
        return dataset.without_labels(), ChosenTask(task, StoredTask(name=task.name), notes=notes)
    if task.name == "segmentation":
        return dataset, _segmentation(task, dataset, outputs, activation)
    if task.name == "text_recognition":
        return dataset, _texts(task, config.head, dataset, outputs)
    if task.name == "detection":
        return dataset, _detection(task, config.head, dataset, outputs, size)
    if task.name == "keypoints":
        return dataset, choose_keypoints(task, config.head, dataset, outputs, size)
    if task.name == "embedding" and dataset.labels_kind != "none":
        dataset = _identities(dataset, outputs[0])
    return dataset, ChosenTask(task, StoredTask(name=task.name))


def _identities(dataset: Dataset, output: Tensor) -> Dataset:
    """Return the data set with identities of vectors (N, D), or (N, D, 1, 1), as its labels."""
    if output[0].numel() < _TWO or output[0].numel() != max(output.shape[1:]):
        raise DataError(
            f"the network's first output has shape {shown_shape(tuple(output.shape))}; embeddings "
            "are one vector for each sample, (batch, size)",
            hint=ADVICE,
        )
    found = dataset if dataset.labels_kind == "identities" else dataset.labels_as("identities")
    for split in (Split.VALIDATION, Split.TEST):
        if found.split_sizes[split] and not found.repeats(split):
            raise DataError(
                f"no identity occurs twice in the {split.name.lower()} split of "
                f"{found.split_sizes[split]} samples, so recall cannot be measured",
                hint="Put all images of an identity into one split, and more identities into it.",
            )
    return found


def _task(config: PruneConfig, dataset: Dataset, *, is_detector: bool) -> Task:
    kind = dataset.labels_kind
    if config.task == "auto":
        is_known = kind == "none" and is_detector
        return TASKS["detection"] if is_known else task_of(kind)
    task = TASKS[config.task]
    if kind == "none" or task.name == "custom" or kind in task.labels:
        return task
    if task.name in {"classification", "regression"} and kind in {"classes", "numbers"}:
        return task  # whole numbers may be either: `fit` decides
    raise DataError(
        f"task {task.name!r} needs labels of the kind {alternatives(task.labels)}; the data set "
        f"has {kind}, which fit {task_of(kind).name!r}",
        hint=f"Prepare the data as {task.data}, or leave out 'task'.",
    )


def _heads(outputs: Sequence[Tensor], size: tuple[int, ...]) -> list[Head]:
    if len(size) != _TWO:
        return []
    return find_heads([tuple(each.shape) for each in outputs], (size[0], size[1]))


def _segmentation(
    task: Task, dataset: Dataset, outputs: Sequence[Tensor], activation: Activation
) -> ChosenTask:
    shape = tuple(outputs[0].shape)
    if not is_mask_shape(shape):
        raise DataError(
            f"the network's first output has shape {shown_shape(shape)}; masks need "
            "(batch, classes, height, width)",
            hint=ADVICE,
        )
    num_scored = max(_TWO, shape[1])
    if dataset.labels_kind == "masks" and dataset.num_classes > num_scored:
        raise DataError(
            f"the masks have {dataset.num_classes} classes, the network scores {num_scored}",
            hint="Number the classes as the network's outputs are; 255 marks pixels that do not "
            "count.",
        )
    stored = StoredTask(name=task.name, is_sigmoid=activation == "sigmoid")
    return ChosenTask(task, stored)


def _texts(task: Task, spec: HeadSpec, dataset: Dataset, outputs: Sequence[Tensor]) -> ChosenTask:
    shape = tuple(outputs[0].shape)
    if len(shape) != 3:  # noqa: PLR2004  # (N, T, C)
        raise DataError(
            f"the network's first output has shape {shown_shape(shape)}; texts need (batch, steps, "
            "characters + blank)",
            hint=ADVICE,
        )
    axis: int | None = 2
    if dataset.labels_kind == "texts":
        # The blank, and in PaddleOCR's networks a space after the list.
        axis = class_axis(shape, dataset.num_classes + 1)
        axis = class_axis(shape, dataset.num_classes + 2) if axis is None else axis
    if axis is None:
        raise DataError(
            f"the network's first output has shape {shown_shape(shape)}, and the data set has "
            f"{dataset.num_classes} characters: one side must be their number and one for the "
            "blank",
            hint="Add characters.txt to the data set: the network's characters in the order of its "
            "classes, one a line, without the blank.",
        )
    stored = StoredTask(name=task.name, class_axis=1 if axis == 1 else 2, blank=spec.blank)
    is_first = spec.blank == "first"
    return ChosenTask(task, stored, Reading(class_axis=axis, is_blank_first=is_first))


def _detection(
    task: Task,
    spec: HeadSpec,
    dataset: Dataset,
    outputs: Sequence[Tensor],
    size: tuple[int, ...],
) -> ChosenTask:
    shapes = [tuple(each.shape) for each in outputs]
    known = f"known forms are {alternatives(HEADS)}"
    found = _heads(outputs, size)
    if spec.kind != "auto":
        found = [head for head in found if head.name == spec.kind]
    if not found:
        form = "of no known form" if spec.kind == "auto" else f"not of the form {spec.kind!r}"
        text = f"the outputs, {', '.join(map(shown_shape, shapes))}, are {form}; {known}"
        if dataset.labels_kind == "none":  # they can be learned from, but not read
            return ChosenTask(task, StoredTask(name=task.name), notes=(f"{text}: no boxes",))
        raise DataError(text, hint=ADVICE)
    area = size[0], size[1]
    counts = [(head, head.num_classes(shapes, area) or 0) for head in found]
    num = dataset.num_classes
    if dataset.labels_kind != "boxes":
        num = counts[0][1]
    fitting = [(h, c) for h, c in counts if c == num or (h.name == "ssd" and c == num + 1)]
    if not fitting:
        scored = alternatives(f"{count} ({head.name})" for head, count in counts)
        raise DataError(
            f"the boxes have {num} classes, the network scores {scored}",
            hint="Number the classes as the network's outputs are, and name all of them.",
        )
    head, count = fitting[0]
    stored = StoredTask(
        name=task.name,
        head=head.name,
        has_background=count == num + 1,
        score=spec.score,
        overlap=spec.overlap,
    )
    metric = Detector(head.name, area, _LEAST_SCORE, spec.overlap, stored.has_background)
    shown = Detector(head.name, area, spec.score, spec.overlap, stored.has_background)
    note = (
        () if spec.kind != "auto" else (f"the outputs are read as those of a {head.name!r} head",)
    )
    reading = Reading(metric, num_classes=num)
    return ChosenTask(task, stored, reading, detector=shown, notes=note)

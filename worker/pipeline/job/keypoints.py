"""The form of the outputs of a network that finds keypoints."""

from collections.abc import Sequence

from torch import Tensor

from app.contracts.decoding.poses import POSE_HEADS, PoseReader
from app.contracts.task_spec import HeadSpec, StoredTask
from secateur.core.formats import alternatives
from secateur.core.tasks import Task
from secateur.engine.errors import DataError
from secateur.engine.metrics import Reading
from worker.pipeline.data import Dataset
from worker.pipeline.job.chosen import ADVICE, ChosenTask, shown_shape

# Average precision counts objects at every score; below this they are too many.
_LEAST_SCORE = 0.01
_SIZE_RANK = 2


def choose_keypoints(
    task: Task,
    spec: HeadSpec,
    dataset: Dataset,
    outputs: Sequence[Tensor],
    size: tuple[int, ...],
) -> ChosenTask:
    """Return the task with the form of its outputs.

    Raises:
        DataError: The outputs have no known form, or another number of keypoints than the labels.
    """
    shapes = [tuple(each.shape) for each in outputs]
    shown = ", ".join(map(shown_shape, shapes))
    if len(size) != _SIZE_RANK:
        raise DataError("keypoints need a network that takes images", hint=ADVICE)
    area = size[0], size[1]
    counts = {
        name: number
        for name, head in POSE_HEADS.items()
        if spec.kind in {"auto", name} and (number := head.num_points(shapes, area)) is not None
    }
    if not counts:
        form = "of no known form" if spec.kind == "auto" else f"not of the form {spec.kind!r}"
        raise DataError(
            f"the outputs, {shown}, are {form} with keypoints; known forms are "
            f"{alternatives(POSE_HEADS)}",
            hint=ADVICE,
        )
    fitting = [
        name
        for name, number in counts.items()
        if dataset.labels_kind != "keypoints" or number == dataset.num_classes
    ]
    if not fitting:
        found = alternatives(f"{number} ({name})" for name, number in counts.items())
        raise DataError(
            f"the labels have {dataset.num_classes} keypoints, the network finds {found}",
            hint="The category's 'keypoints' name all of them, in the network's order.",
        )
    head = fitting[0]
    stored = StoredTask(name=task.name, head=head, score=spec.score, overlap=spec.overlap)
    metric = PoseReader(head, area, _LEAST_SCORE, spec.overlap)
    shown_poses = PoseReader(head, area, spec.score, spec.overlap)
    notes = () if spec.kind != "auto" else (f"the outputs are read as those of a {head!r} head",)
    return ChosenTask(
        task,
        stored,
        Reading(find_poses=metric, num_classes=counts[head]),
        poses=shown_poses,
        notes=notes,
    )

"""The task of a job and the form of its network's outputs."""

from dataclasses import dataclass

from app.contracts.decoding.detector import Detector
from app.contracts.decoding.poses import PoseReader
from app.contracts.task_spec import StoredTask
from secateur.core.tasks import TASKS, Task
from secateur.engine.metrics import PLAIN, Reading

ADVICE = 'Set {"task": "custom"} to compare the outputs with the dense network\'s instead.'


@dataclass(frozen=True)
class ChosenTask:
    """The task of a job.

    Attributes:
        task: The task.
        stored: What ``/infer`` needs to read the outputs.
        reading: What the metrics need.
        detector: Reads the outputs of a detector as boxes, for pictures and counts.
        poses: Reads the outputs as keypoints, likewise.
        notes: Notes for the user, as sentences.
    """

    task: Task
    stored: StoredTask
    reading: Reading = PLAIN
    detector: Detector | None = None
    poses: PoseReader | None = None
    notes: tuple[str, ...] = ()


CUSTOM = ChosenTask(TASKS["custom"], StoredTask(name="custom"))


def shown_shape(shape: tuple[int, ...]) -> str:
    """Return an output's shape for messages."""
    return f"({', '.join(map(str, ('batch', *shape[1:])))})"

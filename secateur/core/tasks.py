"""The tasks of networks: one record each, with its data, metrics, default loss and answers.

A job's config names a task, or leaves it to be found from the data and the outputs. The engine has
the metrics and losses (`secateur.engine.metrics.SCORINGS`), `app.contracts.decoding` the decoders.
"""

from dataclasses import dataclass
from typing import Literal

TaskName = Literal[
    "classification",
    "regression",
    "segmentation",
    "text_recognition",
    "detection",
    "keypoints",
    "embedding",
    "custom",
]
Answer = Literal["labels", "masks", "texts", "boxes", "keypoints", "outputs"]


@dataclass(frozen=True)
class Task:
    """A task that networks are trained for.

    Attributes:
        name: Name in configs and reports.
        words: Name in text.
        labels: Kinds of labels that fit it; samples without labels always do.
        data: Layouts of data sets with labels, for people.
        metrics: Metrics, the deciding one first.
        objective: Training objective without labels; labels have one of their own.
        answer: Field of ``/infer``'s answer to an image.
    """

    name: TaskName
    words: str
    labels: tuple[str, ...]
    data: str
    metrics: tuple[str, ...]
    objective: str
    answer: Answer


_ALL = (
    Task(
        "classification",
        "classification",
        ("classes", "binary", "multi_label"),
        "class folders, arrays, Parquet",
        ("top1", "top5", "macro_f1"),
        "distill",
        "labels",
    ),
    Task(
        "regression",
        "regression",
        ("numbers",),
        "arrays, Parquet",
        ("mean_error",),
        "distill",
        "outputs",
    ),
    Task(
        "segmentation",
        "segmentation",
        ("masks",),
        "images/ and masks/, or COCO JSON with outlines",
        ("miou", "dice"),
        "distill",
        "masks",
    ),
    Task(
        "text_recognition",
        "text recognition",
        ("texts",),
        "images and lines of image, tab, text",
        ("exact", "cer"),
        "distill",
        "texts",
    ),
    Task(
        "detection",
        "detection",
        ("boxes",),
        "COCO JSON and images, YOLO folders, Pascal VOC, PaddleOCR's label file, Parquet",
        ("map50_95", "map50"),
        "distill_sure",
        "boxes",
    ),
    Task(
        "keypoints",
        "keypoints",
        ("keypoints",),
        "COCO JSON or YOLO folders with keypoints",
        ("oks_ap", "oks_ap50", "pck"),
        "distill_sure",
        "keypoints",
    ),
    Task(
        "embedding",
        "embedding and retrieval",
        ("identities", "classes"),
        "class folders, arrays, Parquet, pairs of images",
        ("recall1", "recall5"),
        "distill_cosine",
        "outputs",
    ),
    Task(
        "custom",
        "custom: agreement with the dense network",
        (),
        "any samples",
        ("agreement", "output_error"),
        "distill",
        "outputs",
    ),
)

TASKS: dict[TaskName, Task] = {each.name: each for each in _ALL}


def task_of(labels: str) -> Task:
    """Return the task that a kind of labels is made for; ``custom`` without labels."""
    return next((each for each in _ALL if labels in each.labels), TASKS["custom"])

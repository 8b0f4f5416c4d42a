"""The part of the pruning config about the network's task and the form of its outputs.

No HTTP, no torch. `app.contracts.decoding` reads outputs of these forms.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.contracts.retrain_spec import Spec
from secateur.core.tasks import TaskName

# Names of `HEADS` and `POSE_HEADS` in `app.contracts.decoding`; tests/unit/contracts/decoding
# compares the lists.
DetectorHead = Literal["yolov8", "yolov8_raw", "yolov5", "yolox", "ssd", "dbnet"]
PoseHeadName = Literal["heatmaps", "yolov8_pose"]
HeadName = DetectorHead | PoseHeadName
Blank = Literal["first", "last"]


class HeadSpec(Spec):
    """Form of the outputs of a detector, a network for keypoints, or a text recogniser."""

    kind: Literal["auto"] | HeadName = Field(
        default="auto",
        description="Outputs with boxes or keypoints. yolov8: one output (4 + classes, anchors) "
        "with boxes in pixels, as YOLOv8 and YOLO11 export. yolov8_raw: one output (4 bins + "
        "classes, height, width) per stride, before decoding. yolov5: (anchors, 5 + classes) in "
        "pixels. yolox: the same relative to the grid. ssd: corners (anchors, 4) and scores "
        "(anchors, classes or classes + background). dbnet: one map (1, height, width) of text. "
        "heatmaps: one output (keypoints, height, "
        "width), for one object an image. yolov8_pose: one output (5 + 3 keypoints, anchors). "
        "auto: by the shapes of the outputs.",
    )
    blank: Blank = Field(
        default="first", description="Place of CTC's blank among a text recogniser's classes."
    )
    score: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.25, description="Least score of the boxes and keypoints in /infer's answers."
    )
    overlap: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.6,
        description="Boxes of one class, and objects with keypoints, that overlap a better one by "
        "more (intersection over union) are removed.",
    )


class StoredTask(BaseModel):
    """A model's task and the form of its outputs, stored in its report for ``/infer``."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)

    name: TaskName
    head: HeadName | None = None
    has_background: bool = False
    score: Annotated[float, Field(gt=0, lt=1)] = 0.25
    overlap: Annotated[float, Field(gt=0, lt=1)] = 0.6
    class_axis: Literal[1, 2] = 2
    blank: Blank = "first"
    is_sigmoid: bool = False

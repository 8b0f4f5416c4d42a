"""What metrics need to know about the form of outputs, beyond the network's graph."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]


class FoundBoxes(Protocol):
    """Boxes of one image."""

    @property
    def corners(self) -> Array:
        """x0, y0, x1, y1 in pixels of the input."""
        ...

    @property
    def scores(self) -> Array:
        """Scores in [0, 1]."""
        ...

    @property
    def classes(self) -> Array:
        """Numbers of the classes."""
        ...


class FoundPose(Protocol):
    """Objects of one image by their keypoints."""

    @property
    def points(self) -> Array:
        """Keypoints (N, K, 3): x and y in pixels of the input, and a score."""
        ...

    @property
    def scores(self) -> Array:
        """Scores of the objects in [0, 1]."""
        ...


@dataclass(frozen=True)
class Reading:
    """How to read outputs as answers. The defaults fit labels that need no reading.

    Attributes:
        find_boxes: Returns the boxes of each image from all float outputs (N, ...); needed for the
            labels ``boxes``.
        find_poses: Returns the keypoints of each image in the same way, for ``keypoints``.
        num_classes: Number of classes of the labels; 0 if unknown.
        class_axis: Axis of the classes in the output of a text recogniser, 1 or 2.
        is_blank_first: Whether CTC's blank is the first class, otherwise the last.
    """

    find_boxes: Callable[[list[Array]], Sequence[FoundBoxes]] | None = None
    find_poses: Callable[[list[Array]], Sequence[FoundPose]] | None = None
    num_classes: int = 0
    class_axis: int = 2
    is_blank_first: bool = True


PLAIN = Reading()

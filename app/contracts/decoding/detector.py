"""Read a detector's outputs with the settings of its model."""

from collections.abc import Sequence
from dataclasses import dataclass

from app.contracts.decoding.boxes import Array, Boxes, best
from app.contracts.decoding.heads import HEADS, Size, without_background


@dataclass(frozen=True)
class Detector:
    """The form of a detector's outputs.

    Attributes:
        head: Name of a head.
        size: Height and width of the network's input.
        least_score: Least score of a box.
        most_overlap: Overlap above which the worse of two boxes of a class is removed.
        has_background: Whether class 0 of the outputs is the background.
    """

    head: str
    size: Size
    least_score: float
    most_overlap: float
    has_background: bool = False

    def __call__(self, outputs: Sequence[Array]) -> list[Boxes]:
        """Return the boxes of each image in pixels of the network's input, best first."""
        found = HEADS[self.head].decode(outputs, self.size)
        if self.has_background:
            found = [without_background(each) for each in found]
        return [best(each, self.least_score, self.most_overlap) for each in found]

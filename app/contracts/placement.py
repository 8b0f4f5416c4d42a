"""Place of an image inside a network's input, for pixels, masks and boxes alike.

Training, metrics and ``/infer`` use the same arithmetic, so boxes come back where they were drawn.
"""

from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Fit = Literal["stretch", "letterbox", "pad"]
FILL = 114  # the grey around images in the YOLO family


class Placement(NamedTuple):
    """Rectangle of the input that shows the image.

    Attributes:
        top: First row.
        left: First column.
        height: Rows.
        width: Columns.
        image_size: Height and width of the image itself.
    """

    top: int
    left: int
    height: int
    width: int
    image_size: tuple[int, int]

    @property
    def _scales(self) -> NDArray[np.float64]:
        return np.array([self.width / self.image_size[1], self.height / self.image_size[0]] * 2)

    @property
    def _offsets(self) -> NDArray[np.float64]:
        return np.array([self.left, self.top] * 2, np.float64)

    def forward(self, corners_N4: NDArray[Any]) -> NDArray[np.float64]:
        """Return corners x0, y0, x1, y1 in the image as corners in the input."""
        return corners_N4 * self._scales + self._offsets

    def back(self, corners_N4: NDArray[Any]) -> NDArray[np.float64]:
        """Return corners in the input as corners in the image, clipped to it."""
        height, width = self.image_size
        found = (corners_N4 - self._offsets) / self._scales
        return np.clip(found, 0, np.array([width, height] * 2, np.float64))

    def forward_points(self, points_N2: NDArray[Any]) -> NDArray[np.float64]:
        """Return points x, y in the image as points in the input."""
        return points_N2 * self._scales[:2] + self._offsets[:2]

    def back_points(self, points_N2: NDArray[Any]) -> NDArray[np.float64]:
        """Return points in the input as points in the image, clipped to it."""
        height, width = self.image_size
        found = (points_N2 - self._offsets[:2]) / self._scales[:2]
        return np.clip(found, 0, np.array([width, height], np.float64))

    def cut(self, size: tuple[int, int], map_size: tuple[int, int]) -> tuple[slice, slice]:
        """Return the rows and columns of a map that show the image; at least one of each.

        Args:
            size: Height and width of the input.
            map_size: Height and width of the map, which covers the input.
        """
        rows = _part(self.top, self.height, map_size[0] / size[0], map_size[0])
        return rows, _part(self.left, self.width, map_size[1] / size[1], map_size[1])


def _part(first: int, length: int, scale: float, most: int) -> slice:
    start = min(round(first * scale), most - 1)
    return slice(start, max(start + 1, min(most, round((first + length) * scale))))


def place(image_size: tuple[int, int], size: tuple[int, int], fit: Fit) -> Placement:
    """Return the place of an image in an input of ``size``, both height and width.

    Args:
        image_size: Size of the image.
        size: Size of the input.
        fit: ``stretch`` fills the input; ``letterbox`` keeps the sides' ratio and centres the
            image; ``pad`` keeps the ratio and leaves room on the right and below.
    """
    if fit == "stretch":
        return Placement(0, 0, *size, image_size)
    scale = min(size[0] / image_size[0], size[1] / image_size[1])
    height, width = (
        min(side, max(1, round(own * scale))) for side, own in zip(size, image_size, strict=True)
    )
    if fit == "pad":
        return Placement(0, 0, height, width, image_size)
    return Placement((size[0] - height) // 2, (size[1] - width) // 2, height, width, image_size)

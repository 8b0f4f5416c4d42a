"""Resampling along one dimension as a matrix, for modes that torch's own operators do not have.

The rules are those of ONNX's operator Resize; `admission` compares the result with ONNX Runtime.
"""

import math
from collections.abc import Callable

import numpy as np

_MOST_ELEMENTS = 2**22
# In float32, as runtimes compute them: a coordinate of one half may fall on either side.
_Coordinates = Callable[[np.ndarray, np.float32, int, int], np.ndarray]


def _symmetric(x: np.ndarray, scale: np.float32, old: int, new: int) -> np.ndarray:
    offset = old / 2 * (1 - new / (scale * old))
    return offset + (x + 0.5) / scale - 0.5


_COORDINATES: dict[str, _Coordinates] = {
    "half_pixel": lambda x, s, _old, _new: (x + 0.5) / s - 0.5,
    "pytorch_half_pixel": lambda x, s, _old, new: (x + 0.5) / s - 0.5 if new > 1 else x * 0,
    "half_pixel_symmetric": _symmetric,
    "asymmetric": lambda x, s, _old, _new: x / s,
    "align_corners": lambda x, _s, old, new: x * (old - 1) / max(1, new - 1),
    "tf_half_pixel_for_nn": lambda x, s, _old, _new: (x + 0.5) / s,
}
_ROUNDING: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def nearest_matrix(
    old: int, new: int, scale: float, coordinates: str, rounding: str
) -> np.ndarray | None:
    """Return the matrix (old, new) of nearest neighbours; None if the rules are not known."""
    place, rounded = _COORDINATES.get(coordinates), _ROUNDING.get(rounding)
    if place is None or rounded is None or old * new > _MOST_ELEMENTS:
        return None
    at = rounded(place(np.arange(new, dtype=np.float32), np.float32(scale), old, new))
    return np.asarray(np.eye(old, dtype=np.float32)[:, at.clip(0, old - 1).astype(np.int64)])


def smooth_matrix(  # noqa: PLR0913  # attributes of Resize
    old: int,
    new: int,
    scale: float,
    coordinates: str,
    *,
    cubic: float | None,
    antialias: bool,
    exclude_outside: bool,
) -> np.ndarray | None:
    """Return the matrix (old, new) of linear or cubic interpolation; None for unknown rules.

    Args:
        old: Size before.
        new: Size after.
        scale: New size as a multiple of the old.
        coordinates: Name of ONNX's rule for coordinates.
        cubic: Coefficient of cubic interpolation; None: linear.
        antialias: Whether the kernel widens where the size shrinks.
        exclude_outside: Whether taps outside count as absent, instead of as the edge.
    """
    place = _COORDINATES.get(coordinates)
    if place is None or old * new > _MOST_ELEMENTS:
        return None
    narrow = min(1.0, scale) if antialias else 1.0
    reach = math.ceil((1 if cubic is None else 2) / narrow)
    found = np.zeros((old, new))
    columns = np.arange(new)
    centre = place(columns.astype(np.float32), np.float32(scale), old, new).astype(np.float64)
    for tap in range(1 - reach, reach + 1):
        at = np.floor(centre) + tap
        weight = _kernel((at - centre) * narrow, cubic)
        if exclude_outside:
            weight = np.where((at < 0) | (at >= old), 0.0, weight)
        np.add.at(found, (at.clip(0, old - 1).astype(np.int64), columns), weight)
    return np.asarray(found / found.sum(0), dtype=np.float32)


def _kernel(distance: np.ndarray, cubic: float | None) -> np.ndarray:
    x = np.abs(distance)
    if cubic is None:
        return np.asarray(np.maximum(0.0, 1 - x))
    near = ((cubic + 2) * x - (cubic + 3)) * x * x + 1
    far = ((cubic * x - 5 * cubic) * x + 8 * cubic) * x - 4 * cubic
    return np.asarray(np.where(x <= 1, near, np.where(x < 2, far, 0.0)))  # noqa: PLR2004  # its support

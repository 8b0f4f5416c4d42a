"""Images of shapes, drawn by a formula: data to try the service with, without a download.

`tools.train_example` trained ``shapes.onnx`` on them. Its hash is in a test, and so is theirs.
"""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NETWORK = Path(__file__).with_name("shapes.onnx")
CLASSES = ("circle", "square", "ring", "cross", "stripes", "checks")
NUM_IMAGES, SIDE = 6000, 28
_SEED = 20_261_130
_LEAST_RADIUS, _MOST_RADIUS, _MOST_OFFSET = 5.0, 11.0, 4.0
_NOISE = 55.0

Bytes = NDArray[np.uint8]


def draw(number: int = NUM_IMAGES) -> tuple[Bytes, NDArray[np.int64]]:
    """Return images of shape (number, 28, 28) and their classes."""
    random = np.random.default_rng(_SEED)
    y = random.integers(0, len(CLASSES), number)
    radius = random.uniform(_LEAST_RADIUS, _MOST_RADIUS, (number, 1, 1))
    centre = SIDE / 2 + random.uniform(-_MOST_OFFSET, _MOST_OFFSET, (2, number, 1, 1))
    low, high = random.uniform(20, 90, (number, 1, 1)), random.uniform(130, 235, (number, 1, 1))
    rows, columns = np.mgrid[0:SIDE, 0:SIDE].astype(float)
    v, u = rows - centre[0], columns - centre[1]
    far = np.hypot(u, v)
    inside = np.maximum(abs(u), abs(v)) <= radius
    period = radius / 2
    shapes = np.stack(
        [
            far <= radius,
            inside,
            (far <= radius) & (far > 0.55 * radius),
            inside & (np.minimum(abs(u), abs(v)) <= 0.3 * radius),
            inside & ((v + radius) // period % 2 == 0),
            inside & (((v + radius) // period + (u + radius) // period) % 2 == 0),
        ]
    )
    is_shape = shapes[y, np.arange(number)]
    x = np.where(is_shape, high, low) + random.normal(0, _NOISE, (number, SIDE, SIDE))
    return np.clip(x, 0, 255).astype(np.uint8), y.astype(np.int64)


def dataset() -> bytes:
    """Return the images and their classes as a ``.npz`` file."""
    x, y = draw()
    file = io.BytesIO()
    np.savez_compressed(file, x=x, y=y)
    return file.getvalue()

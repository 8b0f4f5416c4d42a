"""A small detector that predicts the box and the class of one shape per image.

`examples.detector` uses it if MTCNN is not available, or to compare with the truth: the images are
drawn, so every box and class is known.
"""

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own habit
from numpy.typing import NDArray
from torch import Tensor, nn

SIZE = 32
CLASSES = ("square", "disc")
_BATCH_SIZE = 64


class TwoHeads(nn.Module):
    """A trunk of convolutions, a head for boxes and a head for classes, as in SSD."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        widths = [1, width, 2 * width, 2 * width]
        self.trunk = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)
                )
                for a, b in pairwise(widths)
            )
        )
        flat = 2 * width * (SIZE // 8) ** 2
        self.boxes = nn.Linear(flat, 4)
        self.classes = nn.Linear(flat, len(CLASSES))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map (N, 1, 32, 32) to boxes (N, 4: centre, size in [0, 1]) and probabilities (N, 2)."""
        y = self.trunk(x).flatten(1)
        return self.boxes(y).sigmoid(), self.classes(y).softmax(1)


def draw(
    num_images: int, seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]:
    """Return pictures (N, 1, 32, 32), boxes (N, 4) and classes (N,) of one shape each on noise."""
    random = np.random.default_rng(seed)
    pictures = random.integers(0, 90, (num_images, 1, SIZE, SIZE)).astype(np.uint8)
    classes = random.integers(0, len(CLASSES), num_images)
    radius = random.uniform(4, 9, num_images)
    centre = random.uniform(radius, SIZE - radius, (2, num_images)).T
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    for picture, kind, r, (x, y) in zip(pictures, classes, radius, centre, strict=True):
        across, down = np.abs(columns - x), np.abs(rows - y)
        inside = np.maximum(across, down) < r if kind == 0 else np.hypot(across, down) < r
        picture[0, inside] += np.uint8(random.integers(80, 160))
    sides = np.stack([2 * radius, 2 * radius], 1)
    return pictures, (np.concatenate([centre, sides], 1) / SIZE).astype(np.float32), classes


def train(num_steps: int, seed: int = 0) -> TwoHeads:
    """Return a network trained for ``num_steps``. 300 steps suffice and take seconds."""
    torch.manual_seed(seed)
    model = TwoHeads()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(num_steps):
        pictures, boxes, classes = draw(_BATCH_SIZE, seed=seed * 1_000_003 + step)
        found, scores = model(normalise(pictures))
        loss = 10 * F.smooth_l1_loss(found, torch.from_numpy(boxes))
        loss = loss + F.nll_loss(scores.clamp_min(1e-6).log(), torch.from_numpy(classes))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def normalise(pictures: NDArray[np.uint8]) -> Tensor:
    """Return bytes scaled to [0, 1] as a float32 tensor of the same shape."""
    return torch.from_numpy(pictures).float() / 255


def overlap(found: NDArray[np.float32], true: NDArray[np.float32]) -> float:
    """Return the mean intersection over union of boxes (N, 4)."""
    low = np.maximum(found[:, :2] - found[:, 2:] / 2, true[:, :2] - true[:, 2:] / 2)
    high = np.minimum(found[:, :2] + found[:, 2:] / 2, true[:, :2] + true[:, 2:] / 2)
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    union = np.prod(found[:, 2:], axis=1) + np.prod(true[:, 2:], axis=1) - shared
    return float(np.mean(shared / union))

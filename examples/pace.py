"""Choose the demo's number of images and epochs by this machine's measured training speed."""

import time
from dataclasses import dataclass

import torch
from torch import nn

from examples.data import TEST, TRAIN, Images
from examples.resnet20 import ResNet20

TRAIN_SECONDS = 75.0  # target duration of retraining at the measured speed
_BATCH_SIZE, _NUM_STEPS, _SECONDS = 64, 8, 5.0
# Half of the MACs take somewhat more than half of the time.
_PRUNED_SHARE = 0.65
# With fewer training images retraining does not help; with fewer test images accuracy is too noisy.
_MIN_TRAIN, _MIN_TEST, _MAX_TEST = 6_000, 2_000, 10_000
_MAX_EPOCHS = 3


@dataclass(frozen=True)
class Size:
    """Size of the demo.

    Attributes:
        num_train: Training images.
        num_test: Test images.
        epochs: Epochs of retraining.
    """

    num_train: int
    num_test: int
    epochs: int

    def __str__(self) -> str:
        """Return a short description."""
        epochs = "epoch" if self.epochs == 1 else "epochs"
        return f"{self.epochs} {epochs} on {self.num_train:,} images, {self.num_test:,} test images"


def measure_pace() -> float:
    """Return the images per second that this machine trains the dense network with right now."""
    torch.manual_seed(0)
    net = ResNet20().train()
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    x, labels = torch.randn(_BATCH_SIZE, 1, 28, 28), torch.randint(10, (_BATCH_SIZE,))
    num_steps, started_at = -1, time.monotonic()
    while num_steps < _NUM_STEPS and (num_steps < 1 or time.monotonic() - started_at < _SECONDS):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), labels).backward()
        optimizer.step()
        num_steps += 1
        if num_steps == 0:  # the first step is a warm-up
            started_at = time.monotonic()
    return num_steps * _BATCH_SIZE / (time.monotonic() - started_at)


def choose_size(images_per_second: float, images: Images) -> Size:
    """Return the size that fits into `TRAIN_SECONDS`, but at least the minimum useful size."""
    available = int((images.split == TRAIN).sum())
    room = int(TRAIN_SECONDS * images_per_second / _PRUNED_SHARE)
    epochs = max(1, min(_MAX_EPOCHS, room // max(1, min(available, 2 * _MIN_TRAIN))))
    num_train = min(available, max(_MIN_TRAIN, room // epochs // 1000 * 1000))
    num_test = min(int((images.split == TEST).sum()), _MAX_TEST, max(_MIN_TEST, num_train // 4))
    return Size(num_train, num_test, epochs)

"""How many images and epochs the demo takes: by how fast this machine trains, now."""

import time
from dataclasses import dataclass

import torch
from torch import nn

from examples.data import TEST, TRAIN, Images
from examples.resnet20 import ResNet20

TRAIN_SECONDS = 75.0  # of retraining, at the speed that was measured
_BATCH_SIZE, _NUM_STEPS, _SECONDS = 64, 8, 5.0
# Half of the MACs take somewhat more than half of the time.
_PRUNED_SHARE = 0.65
# Fewer images than these repair nothing; fewer test images say nothing.
_LEAST_TRAIN, _LEAST_TEST, _MOST_TEST = 6_000, 2_000, 10_000
_MOST_EPOCHS = 3


@dataclass(frozen=True)
class Size:
    """What the demo trains and tests with."""

    num_train: int
    num_test: int
    epochs: int

    def __str__(self) -> str:
        """Say it in a clause."""
        epochs = "epoch" if self.epochs == 1 else "epochs"
        return (
            f"{self.epochs} {epochs} of {self.num_train:,} images, {self.num_test:,} to test with"
        )


def measure_pace() -> float:
    """Return images a second of training the dense network, beside whatever else runs."""
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
        if num_steps == 0:  # the first warmed up
            started_at = time.monotonic()
    return num_steps * _BATCH_SIZE / (time.monotonic() - started_at)


def choose_size(images_per_second: float, images: Images) -> Size:
    """Return what fits into `TRAIN_SECONDS`, but never so little that nothing is repaired."""
    there = int((images.split == TRAIN).sum())
    room = int(TRAIN_SECONDS * images_per_second / _PRUNED_SHARE)
    epochs = max(1, min(_MOST_EPOCHS, room // max(1, min(there, 2 * _LEAST_TRAIN))))
    num_train = min(there, max(_LEAST_TRAIN, room // epochs // 1000 * 1000))
    num_test = min(int((images.split == TEST).sum()), _MOST_TEST, max(_LEAST_TEST, num_train // 4))
    return Size(num_train, num_test, epochs)

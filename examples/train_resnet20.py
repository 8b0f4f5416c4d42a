"""Train the demo's dense ResNet-20 and save its weights with their accuracy.

Usage: python -m examples.train_resnet20 [--epochs 8] [--seed 0] [--fallback]
"""

import argparse
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own habit
from safetensors.torch import save_file
from torch import nn

from examples.data import TEST, TRAIN, VALIDATION, Images, load_images, load_mnist_5k
from examples.resnet20 import ResNet20

BATCH_SIZE = 128
WEIGHTS = Path(__file__).parent / "weights"


def main() -> None:
    """Train, print the accuracies and write ``weights/<data set>.safetensors``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fallback", action="store_true", help="train on MNIST-5k")
    options = parser.parse_args()
    images = load_mnist_5k() if options.fallback else load_images(is_fallback_allowed=False)
    torch.manual_seed(options.seed)
    model = ResNet20()
    started = time.monotonic()
    train(model, images, options.epochs, learning_rate=0.1, seed=options.seed)
    results = {
        "data": images.name,
        "validation_accuracy": accuracy(model, images, VALIDATION),
        "test_accuracy": accuracy(model, images, TEST),
        "seconds": round(time.monotonic() - started),
        "epochs": options.epochs,
        "seed": options.seed,
        "torch": torch.__version__,
    }
    print(json.dumps(results))
    state = {k: v.contiguous() for k, v in model.state_dict().items()}
    metadata = {name: str(value) for name, value in results.items()}
    save_file(state, weights_path(images.name), metadata=metadata)


def weights_path(data_name: str) -> Path:
    """Return where the dense weights for a data set lie."""
    slug = "fashion_mnist" if data_name == "Fashion-MNIST" else "mnist_5k"
    return WEIGHTS / f"resnet20_{slug}.safetensors"


def train(
    model: nn.Module, images: Images, epochs: int, learning_rate: float, seed: int = 0
) -> None:
    """Train with Nesterov SGD, a one-cycle schedule, random crops and flips, bf16 autocast."""
    pixels, labels = images.part(TRAIN)
    x, y = torch.from_numpy(images.normalise(pixels)), torch.from_numpy(labels)
    model.to(memory_format=torch.channels_last)
    model.train()
    optimizer = torch.optim.SGD(
        model.parameters(), learning_rate, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    num_steps = len(x) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, learning_rate, total_steps=num_steps * epochs, pct_start=0.15
    )
    random = torch.Generator().manual_seed(seed)
    can_flip = images.name == "Fashion-MNIST"  # a mirrored digit is another sign
    for epoch in range(epochs):
        order = torch.randperm(len(x), generator=random)
        total = 0.0
        for step in range(num_steps):
            index = order[step * BATCH_SIZE : (step + 1) * BATCH_SIZE]
            batch = augment(x[index], random, can_flip=can_flip)
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(model(batch), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1}/{epochs}: loss {total / num_steps:.4f}", flush=True)


def augment(x: torch.Tensor, random: torch.Generator, *, can_flip: bool) -> torch.Tensor:
    """Return (N, C, H, W) images shifted by up to 2 pixels together, half of them mirrored."""
    height, width = x.shape[2:]
    padded = F.pad(x, (2, 2, 2, 2))
    top, left = torch.randint(0, 5, (2,), generator=random).tolist()
    x = padded[:, :, top : top + height, left : left + width]
    if can_flip:
        is_flipped = torch.rand(len(x), generator=random) < 0.5  # noqa: PLR2004  # one half
        x = torch.where(is_flipped[:, None, None, None], x.flip(3), x)
    return x.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def accuracy(model: nn.Module, images: Images, split: int) -> float:
    """Return the share of right answers on a split."""
    model.eval()
    pixels, labels = images.part(split)
    x, y = torch.from_numpy(images.normalise(pixels)), torch.from_numpy(labels)
    parts = zip(x.split(500), y.split(500), strict=True)
    return sum(int((model(a).argmax(1) == b).sum()) for a, b in parts) / len(x)


if __name__ == "__main__":
    main()

"""Torch-Pruning on the quality protocol, one row per call: the peer of `benchmarks.quality`.

Usage: pip install torch-pruning==1.6.1; python -m benchmarks.peer_quality --target 0.25
--criterion l1 --scope global --seed 0. Prints one JSON line. Prunes the dense ResNet-20 of the demo
to the target and trains it for 3 epochs as the anchors do (one-cycle SGD to 0.04, random
crops and flips, cross-entropy), in the data order that our own loop draws from the same seed.
"""

import argparse
import json
import time
import warnings
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own habit
import torch_pruning
from safetensors.torch import load_file
from torch import Tensor, nn

from examples.data import TEST, TRAIN, VALIDATION, load_images
from examples.resnet20 import ResNet20
from examples.train_resnet20 import augment, weights_path

EPOCHS = 3
BATCH_SIZE = 128
LEARNING_RATE = 0.04
NUM_TAYLOR_SAMPLES = 512
NUM_STEPS = 200  # the pruner's own steps, so that it stops close to the target

Parts = dict[int, tuple[Tensor, Tensor]]


def main() -> None:
    """Prune, train, measure and print one row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", type=float, required=True)
    parser.add_argument("--criterion", choices=["l1", "taylor"], required=True)
    parser.add_argument("--scope", choices=["layer", "global"], required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    images = load_images(is_fallback_allowed=False)
    parts: Parts = {}
    for split in (TRAIN, VALIDATION, TEST):
        pixels, labels = images.part(split)
        parts[split] = (torch.from_numpy(images.normalise(pixels)), torch.from_numpy(labels))
    started = time.monotonic()
    model = ResNet20()
    model.load_state_dict(load_file(weights_path(images.name)))
    example = torch.randn(1, 1, 28, 28)
    dense_macs, dense_params = torch_pruning.utils.count_ops_and_params(model, example)
    row: dict[str, Any] = {**vars(options), "dense": accuracy(model, parts[TEST])}
    prune(model, example, options, dense_macs, parts[TRAIN])
    macs, params = torch_pruning.utils.count_ops_and_params(model, example)
    row |= {"macs": macs / dense_macs, "params": params / dense_params}
    row["pruned"] = accuracy(model, parts[TEST])
    train(model, parts[TRAIN], options.seed)
    row |= {"retrained": accuracy(model, parts[TEST])}
    row |= {"validation": accuracy(model, parts[VALIDATION])}
    print(json.dumps({**row, "seconds": round(time.monotonic() - started)}))


def prune(
    model: nn.Module,
    example: Tensor,
    options: argparse.Namespace,
    dense_macs: float,
    train_part: tuple[Tensor, Tensor],
) -> None:
    """Prune in small steps until the target is met, as the anchors do."""
    x, y = (part[:NUM_TAYLOR_SAMPLES] for part in train_part)
    is_global = options.scope == "global"
    importance = (
        torch_pruning.importance.MagnitudeImportance(p=1)
        if options.criterion == "l1"
        else torch_pruning.importance.TaylorImportance()
    )
    pruner = torch_pruning.pruner.MetaPruner(
        model.eval(),
        example,
        importance=importance,
        pruning_ratio=0.98 if is_global else 0.9,
        global_pruning=is_global,
        max_pruning_ratio=0.9,
        iterative_steps=NUM_STEPS,
        ignored_layers=[model.fc],
    )
    while torch_pruning.utils.count_ops_and_params(model, example)[0] > options.target * dense_macs:
        if options.criterion == "taylor":
            model.zero_grad()
            F.cross_entropy(model(x), y).backward()
        pruner.step()


def train(model: nn.Module, part: tuple[Tensor, Tensor], seed: int) -> None:
    """Train with the anchors' recipe; float32, since bfloat16 is emulated on many CPUs."""
    x, y = part
    model.to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(
        model.parameters(), LEARNING_RATE, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    num_steps = len(x) // BATCH_SIZE
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=num_steps * EPOCHS, pct_start=0.15
    )
    for epoch in range(EPOCHS):
        random = torch.Generator().manual_seed(seed * 1_000_003 + epoch)  # as our loop does
        order = torch.randperm(len(x), generator=random)
        for index in order[: num_steps * BATCH_SIZE].view(num_steps, -1):
            batch = augment(x[index], random, can_flip=True)
            loss = F.cross_entropy(model(batch), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


@torch.no_grad()
def accuracy(model: nn.Module, part: tuple[Tensor, Tensor]) -> float:
    """Return the fraction of correct predictions."""
    model.eval()
    pairs = zip(part[0].split(500), part[1].split(500), strict=True)
    return sum(int((model(x).argmax(1) == y).sum()) for x, y in pairs) / len(part[0])


if __name__ == "__main__":
    main()

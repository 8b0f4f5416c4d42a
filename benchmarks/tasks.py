"""A detector and a segmenter on drawn scenes: dense, pruned, repaired and retrained without labels.

Usage: python -m benchmarks.tasks [--tasks detection segmentation] [--shares 0.7 0.5]
[--images 300] [--epochs 10] [--threads 1].
The script draws circles, squares and triangles on backgrounds, trains both networks on their
labels, and prunes them by complete jobs in this process. The jobs learn from the dense networks'
answers alone; labels only measure, on images of their own. Networks that keep more than 60 % of the
MACs are repaired and not retrained. Writes results/tasks.json.
"""

import argparse
import io
import json
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # its usual name
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rich.console import Console
from torch import Tensor, nn
from torch.export import Dim

from app.contracts.report import Report
from app.contracts.spec import PreprocessSpec, PruneConfig
from benchmarks.machine import commit, machine
from secateur.engine.objectives.dice import dice_loss
from worker.cli.local import local_request
from worker.cli.progress import ConsoleReporter
from worker.pipeline.prune import prune

RESULTS = Path(__file__).parent / "results" / "tasks.json"
SIDE, STRIDE = 64, 8
NAMES = ("circle", "square", "triangle")
METRICS = {"detection": ("map50_95", "map50"), "segmentation": ("miou", "dice")}
_TRAINED = 0.6  # share of the MACs above which repair alone is measured
_GROUND = (20, 60)  # brightness of backgrounds; shapes are brighter

Scene = tuple[NDArray[np.uint8], NDArray[np.uint8], list[tuple[int, int, int, int, int]]]


def draw_scene(random: np.random.Generator) -> Scene:
    """Return pixels (H, W, 3), the mask (H, W), and boxes (class, x0, y0, x1, y1)."""
    ground = random.integers(*_GROUND, (8, 8, 3)).astype(np.uint8)
    image = Image.fromarray(ground).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    mask = Image.new("L", (SIDE, SIDE), 0)
    pens, boxes, taken = (ImageDraw.Draw(image), ImageDraw.Draw(mask)), [], np.zeros((SIDE, SIDE))
    for _ in range(int(random.integers(1, 4))):
        size = int(random.integers(14, 27))
        x, y = random.integers(0, SIDE - size, 2).tolist()
        if taken[y : y + size, x : x + size].any():
            continue
        taken[y : y + size, x : x + size] = 1
        kind, box = int(random.integers(len(NAMES))), (x, y, x + size - 1, y + size - 1)
        colour = tuple(random.integers(90, 256, 3).tolist())
        for pen, fill in zip(pens, (colour, kind + 1), strict=True):
            if kind == 0:
                pen.ellipse(box, fill=fill)
            elif kind == 1:
                pen.rectangle(box, fill=fill)
            else:
                pen.polygon([(x, box[3]), (box[2], box[3]), (x + size // 2, y)], fill=fill)
        boxes.append((kind, x, y, x + size, y + size))
    noise = random.normal(0, 8, (SIDE, SIDE, 3))
    pixels = (np.asarray(image) + noise).clip(0, 255).astype(np.uint8)
    return pixels, np.asarray(mask), boxes


class Detector(nn.Module):
    """One map at stride 8: distances to a box's sides, in strides, and a logit per class."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after, stride in (
            (3, 24, 2),
            (24, 48, 2),
            (48, 64, 2),
            (64, 64, 1),
            (64, 64, 1),
        ):
            layers += [nn.Conv2d(before, after, 3, stride, 1, bias=False)]
            layers += [nn.BatchNorm2d(after), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.sides, self.classes = nn.Conv2d(64, 4, 1), nn.Conv2d(64, len(NAMES), 1)
        nn.init.constant_(self.classes.bias, -3.0)  # type: ignore[arg-type]  # it has a bias

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, 4 + classes, h, w)."""
        x = self.body(x)
        return torch.cat([F.softplus(self.sides(x)), self.classes(x)], 1)


class Segmenter(nn.Module):
    """A U-Net of three levels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = _block(3, 16, 1), _block(16, 32, 2)
        self.third, self.fourth = _block(32, 48, 2), _block(48, 48, 1)
        self.up, self.last = _block(48 + 32, 32, 1), _block(32 + 16, 24, 1)
        self.head = nn.Conv2d(24, len(NAMES) + 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores (N, classes, H, W); class 0 is the background."""
        fine = self.first(x)
        middle = self.second(fine)
        coarse = self.fourth(self.third(middle))
        middle = self.up(torch.cat([F.interpolate(coarse, scale_factor=2.0), middle], 1))
        fine = self.last(torch.cat([F.interpolate(middle, scale_factor=2.0), fine], 1))
        out: Tensor = self.head(fine)
        return out


def _block(before: int, after: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(after), nn.ReLU())


def detector_targets(scenes: list[Scene]) -> Tensor:
    """Return (N, 5, h, w): distances to the sides in strides, and class + 1; 0 is background."""
    cells = SIDE // STRIDE
    found = torch.zeros(len(scenes), 5, cells, cells)
    middle = (torch.arange(cells) + 0.5) * STRIDE
    for number, (_, _, boxes) in enumerate(scenes):
        for kind, x0, y0, x1, y1 in boxes:
            # The middle half of a box: cells that see most of it.
            near_x = (middle - (x0 + x1) / 2).abs() < max(STRIDE / 2, (x1 - x0) / 4)
            near_y = (middle - (y0 + y1) / 2).abs() < max(STRIDE / 2, (y1 - y0) / 4)
            for row in near_y.nonzero().flatten().tolist():
                for column in near_x.nonzero().flatten().tolist():
                    x, y = float(middle[column]), float(middle[row])
                    sides = torch.tensor([x - x0, y - y0, x1 - x, y1 - y]) / STRIDE
                    found[number, :, row, column] = torch.tensor([*sides.tolist(), kind + 1])
    return found


def detector_loss(output: Tensor, target: Tensor) -> Tensor:
    """Return focal loss of the classes (arXiv:1708.02002) and IoU loss of the sides."""
    wanted = F.one_hot(target[:, 4].long(), len(NAMES) + 1)[..., 1:].permute(0, 3, 1, 2).float()
    shares = output[:, 4:].sigmoid()
    cross = F.binary_cross_entropy_with_logits(output[:, 4:], wanted, reduction="none")
    focal = (cross * (wanted - shares).abs() ** 2).sum() / wanted.sum().clamp_min(1)
    is_box = target[:, 4] > 0
    a, b = (each[:, :4].permute(0, 2, 3, 1)[is_box].clamp_min(0) for each in (output, target))
    least = torch.minimum(a, b)
    shared = (least[:, 0] + least[:, 2]) * (least[:, 1] + least[:, 3])
    area = [(each[:, 0] + each[:, 2]) * (each[:, 1] + each[:, 3]) for each in (a, b)]
    overlap = shared / (area[0] + area[1] - shared).clamp_min(1e-6)
    return focal + (1 - overlap).mean()


def train(task: str, scenes: list[Scene], epochs: int) -> nn.Module:
    """Return a network trained on the labels."""
    torch.manual_seed(0)
    x = torch.stack([torch.from_numpy(s[0]).permute(2, 0, 1).float() / 255 for s in scenes])
    net: nn.Module = Detector() if task == "detection" else Segmenter()
    if task == "detection":
        y, loss_of = detector_targets(scenes), detector_loss
    else:
        y, loss_of = torch.stack([torch.from_numpy(s[1].copy()) for s in scenes]), dice_loss
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    total = epochs * (len(x) // 16)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=total)
    for _ in range(epochs):
        for part in torch.randperm(len(x))[: len(x) // 16 * 16].split(16):
            loss = loss_of(net(x[part]), y[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


def write_data(task: str, splits: dict[str, list[Scene]], path: Path) -> None:
    """Write a zip of COCO files or of masks."""
    with zipfile.ZipFile(path, "w") as out:
        for split, scenes in splits.items():
            images: list[dict[str, Any]] = []
            boxes: list[dict[str, Any]] = []
            for n, (pixels, mask, found) in enumerate(scenes):
                out.writestr(f"{split}/images/{n}.png", _png(pixels))
                if task == "segmentation":
                    out.writestr(f"{split}/masks/{n}.png", _png(mask))
                images.append({"id": n, "file_name": f"images/{n}.png"})
                boxes += [
                    {"image_id": n, "category_id": k, "bbox": [x0, y0, x1 - x0, y1 - y0]}
                    for k, x0, y0, x1, y1 in found
                ]
            if task == "detection":
                categories = [{"id": n, "name": name} for n, name in enumerate(NAMES)]
                content = {"images": images, "annotations": boxes, "categories": categories}
                out.writestr(f"{split}/annotations.json", json.dumps(content))
        if task == "segmentation":
            out.writestr("classes.txt", "\n".join(("background", *NAMES)))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def run(task: str, share: float, model: Path, data: Path, epochs: int, threads: int) -> Report:
    """Prune to a share of the MACs, and return the report."""
    objective = "distill_sure" if task == "detection" else "distill"
    config = PruneConfig.model_validate(
        {
            "selection": {"mode": "budget", "macs": share, "round_to": 4},
            "retrain": {"epochs": epochs, "batch_size": 16, "objective": objective},
            "export": {"formats": ["pt2"]},
        }
    )
    spec = PreprocessSpec.model_validate({"preset": "unit"})
    out = model.parent / f"out{share}"
    with (
        local_request(model, None, config, data, out, "cpu", threads, spec) as request,
        ConsoleReporter(Console(stderr=True, quiet=True)) as reporter,
    ):
        prune(request, reporter)
    return Report.model_validate_json((out / "report.json").read_text())


def main() -> None:
    """Train, prune and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", choices=tuple(METRICS), default=list(METRICS))
    parser.add_argument("--shares", type=float, nargs="+", default=[0.7, 0.5])
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    random = np.random.default_rng(0)
    sizes = {"train": options.images, "val": 60, "test": 150}
    splits = {name: [draw_scene(random) for _ in range(n)] for name, n in sizes.items()}
    for task in options.tasks:
        with tempfile.TemporaryDirectory() as folder:
            model, data = Path(folder) / "m.pt2", Path(folder) / "data.zip"
            net = train(task, splits["train"], 2 * options.epochs)
            example = (torch.rand(2, 3, SIDE, SIDE),)
            exported = torch.export.export(net, example, dynamic_shapes=({0: Dim("batch", min=1)},))
            torch.export.save(exported, model)
            write_data(task, splits, data)
            for share in options.shares:
                started = time.process_time()
                epochs = options.epochs if share <= _TRAINED else 0
                report = run(task, share, model, data, epochs, options.threads)
                row = row_of(task, share, report)
                row |= {"commit": commit(), "options": vars(options)}
                row["cpu_seconds"] = round(time.process_time() - started, 1)
                print(json.dumps(row))
                write(row)


def write(row: dict[str, Any]) -> None:
    """Replace the row of the same task and share in the results."""
    rows = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    place = row["task"], row["macs_asked"]
    rows = [each for each in rows if (each["task"], each["macs_asked"]) != place] + [row]
    RESULTS.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


def row_of(task: str, share: float, report: Report) -> dict[str, Any]:
    """Return the metrics of every network on the test images, and their shares of the dense."""
    networks = {
        "dense": report.dense,
        "pruned": report.pruned,
        "repaired": report.repaired,
        "retrained": report.retrained,
    }
    row: dict[str, Any] = {"task": task, "macs_asked": share}
    row["macs"] = round(report.retrained.macs / report.dense.macs, 3)
    for name, network in networks.items():
        found = [m for m in network.metrics if m.split == "test"] if network is not None else []
        if found:
            row[name] = {m: round(found[0].value(m) or 0.0, 4) for m in METRICS[task]}
            row[name]["interval"] = [round(each, 4) for each in found[0].interval or ()]
    main_metric = METRICS[task][0]
    dense = row["dense"][main_metric]
    row["kept"] = {n: round(row[n][main_metric] / dense, 3) for n in networks if n in row and dense}
    return row


if __name__ == "__main__":
    main()

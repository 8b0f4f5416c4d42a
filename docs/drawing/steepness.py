"""Picture of the steepness rule on the saliency curve of a layer of the demo's network."""

import math
import warnings
from collections.abc import Sequence

import torch
from safetensors.torch import load_file

from app.drawing.canvas import Canvas
from examples.resnet20 import ResNet20
from examples.train_resnet20 import weights_path
from secateur.engine.graph import analyse
from secateur.engine.program.exported import export, from_exported
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import cut

LAYER = "blocks.1.conv1.weight"
_LEFT, _TOP, _SIZE = 64, 58, 300
_WIDTH = 520


def draw() -> Canvas:
    """Return the picture."""
    curve = saliency_curve()
    num_removed = cut(curve).num_removed
    canvas = Canvas(
        "steepness",
        800,
        420,
        f"The L1 norms of the {len(curve)} filters of {LAYER}, ascending, on axes scaled to 0..1, "
        f"with a line of slope 1. The curve is farthest below the line at filter {num_removed}: "
        "the filters before it are removed.",
    )
    canvas.text(
        400, 24, "The curve is cut where it becomes steeper than the line", size=15, weight="bold"
    )
    _axes(canvas, len(curve))
    heights = _scaled(curve)
    step = _WIDTH / len(curve)
    for index, height in enumerate(heights):
        colour = "gone" if index < num_removed else "kept"
        tall = max(1.5, height * _SIZE)
        canvas.box(_LEFT + index * step + 0.8, _TOP + _SIZE - tall, step - 1.6, tall, colour, 2)
    first, last = _LEFT + step / 2, _LEFT + _WIDTH - step / 2  # the middles of the bars
    canvas.line(first, _TOP + _SIZE, last, _TOP, "accent", 2, "6 4")
    share = num_removed / (len(curve) - 1)
    x, on_line = first + share * (last - first), _TOP + _SIZE * (1 - share)
    canvas.line(x, on_line, x, _TOP + _SIZE - heights[num_removed] * _SIZE, "ink", 2.5)
    border = _LEFT + num_removed * step
    canvas.line(border, _TOP, border, _TOP + _SIZE + 10, "muted", 1.2, "3 3")
    canvas.text(border, _TOP + _SIZE + 26, f"cut: {num_removed} removed", weight="bold")
    _legend(canvas, len(curve), num_removed)
    return canvas


def saliency_curve() -> list[float]:
    """Return the layer's scores under ``l1``, ascending, as the engine computes them."""
    model = ResNet20()
    model.load_state_dict(load_file(weights_path("Fashion-MNIST")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        program = from_exported(export(model.eval(), (torch.randn(2, 1, 28, 28),)))
    scores = CRITERIA["l1"](program, analyse(program), None, SaliencyOptions())
    return sorted(scores[LAYER].tolist())


def _scaled(curve: Sequence[float]) -> list[float]:
    """Return the curve as `cut` scales it: the ninth decile is 1."""
    lowest = curve[0]
    decile = curve[math.ceil(0.9 * (len(curve) - 1))] - lowest
    return [min(1.0, (value - lowest) / decile) for value in curve]


def _axes(canvas: Canvas, num_filters: int) -> None:
    canvas.line(_LEFT, _TOP + _SIZE, _LEFT + _WIDTH, _TOP + _SIZE, "muted", 1)
    canvas.line(_LEFT, _TOP, _LEFT, _TOP + _SIZE, "muted", 1)
    for share, label in ((0.0, "0"), (0.5, "0.5"), (1.0, "1")):
        y = _TOP + _SIZE * (1 - share)
        canvas.line(_LEFT - 5, y, _LEFT, y, "muted", 1)
        canvas.text(_LEFT - 10, y + 4, label, "muted", 12, "end")
    canvas.text(_LEFT, _TOP - 12, "saliency, scaled", "muted", 12)
    middle = _LEFT + _WIDTH / 2
    canvas.text(
        middle, _TOP + _SIZE + 48, f"the {num_filters} filters, least salient first", "muted", 12
    )


def _legend(canvas: Canvas, num_filters: int, num_removed: int) -> None:
    x, y = _LEFT + _WIDTH + 26, _TOP + 40
    canvas.code(x + 85, y - 20, LAYER)
    for number, (colour, words) in enumerate(
        (
            ("gone", f"{num_removed} filters removed"),
            ("kept", f"{num_filters - num_removed} kept"),
        )
    ):
        canvas.box(x, y + 24 * number, 14, 14, colour, 3)
        canvas.text(x + 22, y + 12 + 24 * number, words, size=13, anchor="start")
    canvas.line(x, y + 58, x + 16, y + 58, "accent", 2, "6 4")
    canvas.text(x + 22, y + 62, "slope 1: steepness", size=13, anchor="start")
    canvas.line(x + 7, y + 74, x + 7, y + 88, "ink", 2)
    canvas.text(x + 22, y + 86, "widest gap below it", size=13, anchor="start")
    for number, words in enumerate(
        (
            "Flat part: the filters",
            "are interchangeable.",
            "Steep part: the filters",
            "differ.",
        )
    ):
        canvas.text(x, y + 128 + 18 * number, words, "muted", 12, "start")

"""Chart of accuracy against cost, from the results of `benchmarks.quality` and `.repair`."""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Any

from app.drawing.canvas import Canvas

_RESULTS = Path(__file__).parents[2] / "benchmarks/results"
_SHARES = (0.5, 0.25, 0.125)
_WORDS = {0.5: "half of the MACs", 0.25: "a quarter", 0.125: "an eighth"}
_LOWEST, _HIGHEST = 0.81, 0.93
_STEP = 2  # percent between two lines
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 780, 70, 300
_BAR = 76


def draw() -> Canvas:
    """Return the chart."""
    dense, series = measured()
    said = "; ".join(
        f"{name}: " + ", ".join(f"{_WORDS[s]} {100 * v:.2f} %" for s, v in values.items())
        for name, _, values in series
    )
    canvas = Canvas(
        "accuracy",
        800,
        450,
        f"Accuracy of a pruned ResNet-20 on Fashion-MNIST, mean of three seeds. Dense: "
        f"{100 * dense:.2f} %. {said}.",
    )
    canvas.text(400, 24, "Accuracy of a pruned ResNet-20 on Fashion-MNIST", size=15, weight="bold")
    _axis(canvas, dense)
    width = (_RIGHT - _LEFT) / len(_SHARES)
    for number, share in enumerate(_SHARES):
        middle = _LEFT + (number + 0.5) * width
        for place, (_, colour, values) in enumerate(series):
            x = middle + (place - (len(series) - 1) / 2) * _BAR
            _loss(canvas, x, dense, values[share], colour)
        canvas.text(middle, _BOTTOM + 22, _WORDS[share])
    _legend(canvas, series)
    return canvas


def measured() -> tuple[float, list[tuple[str, str, dict[float, float]]]]:
    """Return the dense accuracy, and each series: its name, colour and accuracy by share."""
    rows, repairs = _rows("quality.jsonl"), _rows("repair.jsonl")
    ours = {share: _mean(rows, "retrained", kind="mixed", target=share) for share in _SHARES}
    peer = {share: _best_peer(rows, share) for share in _SHARES}
    repaired = {
        share: _mean(
            repairs, "top1", kind="repaired", criterion="reconstruction", target=share, samples=512
        )
        for share in _SHARES
    }
    return rows[0]["dense"], [
        ("Secateur, not trained, 512 images without labels", "accent", repaired),
        ("Torch-Pruning 1.6.1, three epochs", "muted", peer),
        ("Secateur, three epochs", "kept", ours),
    ]


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (_RESULTS / name).read_text().splitlines()]


def _best_peer(rows: list[dict[str, Any]], share: float) -> float:
    """Return the best of the peer's settings."""
    kinds = {
        (row["criterion"], row["scope"])
        for row in rows
        if row["kind"] == "peer" and row["target"] == share
    }
    return max(
        _mean(rows, "retrained", kind="peer", target=share, criterion=criterion, scope=scope)
        for criterion, scope in kinds
    )


def _mean(rows: list[dict[str, Any]], value: str, **wanted: object) -> float:
    found: list[float] = [row[value] for row in rows if _fits(row, wanted)]
    return mean(found)


def _fits(row: Mapping[str, Any], wanted: Mapping[str, object]) -> bool:
    return all(row.get(name) == value for name, value in wanted.items())


def _axis(canvas: Canvas, dense: float) -> None:
    for percent in range(round(100 * _LOWEST) + 1, round(100 * _HIGHEST) + 1, _STEP):
        y = _height(percent / 100)
        canvas.line(_LEFT, y, _RIGHT, y, "faint", 1)
        canvas.text(_LEFT - 10, y + 4, f"{percent} %", "muted", 12, "end")
    canvas.line(_LEFT, _height(dense), _RIGHT, _height(dense), "ink", 1.5, "6 4")


def _loss(canvas: Canvas, x: float, dense: float, value: float, colour: str) -> None:
    """Draw a dot at a value, and its distance from the dense network."""
    y = _height(value)
    canvas.line(x, _height(dense), x, y, colour, 5)
    canvas.dot(x, y, 7, colour)
    canvas.text(x, y + 24 if value < dense else y - 14, f"{100 * value:.2f}", size=12)


def _height(value: float) -> float:
    return _BOTTOM - (value - _LOWEST) / (_HIGHEST - _LOWEST) * (_BOTTOM - _TOP)


def _legend(canvas: Canvas, series: list[tuple[str, str, dict[float, float]]]) -> None:
    x, y = _LEFT, _BOTTOM + 48
    for name, colour, _ in series:
        canvas.box(x, y, 14, 14, f"{colour}-{colour}", 3)
        canvas.text(x + 22, y + 12, name, anchor="start")
        y += 22
    canvas.line(x - 4, y + 7, x + 18, y + 7, "ink", 1.5, "6 4")
    canvas.text(x + 22, y + 12, "the dense network", anchor="start")

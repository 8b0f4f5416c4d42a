"""The Pareto picture of a sweep: quality against MACs and against latency, as SVG."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from app.drawing.canvas import Canvas
from app.drawing.scales import Scale, spanning
from app.sweeps.schemas import SweepRow

_WIDTH, _HEIGHT = 1040, 440
_TOP, _BOTTOM = 82, 372
_MAX_LABELS = 20
_MAX_CHARACTERS = 24  # per value in a label
_CHARACTER = 5.6  # width of one character of a label


@dataclass(frozen=True)
class _Panel:
    """One panel: a cost, the field that marks its front, and the panel's position."""

    cost: str
    mark: str
    title: str
    left: int
    right: int


_PANELS = (
    _Panel("macs_share", "is_pareto_macs", "MACs, share of dense", 76, 512),
    _Panel("latency_share", "is_pareto_latency", "latency at batch 1, share of dense", 592, 1028),
)


def draw_pareto(rows: Sequence[SweepRow]) -> bytes:
    """Return the picture of the rows with a result; at least one is required.

    The same table gives the same bytes.
    """
    done = [row for row in rows if row.value is not None]
    metric = f"{done[0].metric} ({done[0].split})"
    canvas = Canvas(
        "pareto",
        _WIDTH,
        _HEIGHT,
        _description(done, metric),
        f"{metric} of the jobs of a sweep against their cost",
    )
    canvas.box(0, 0, _WIDTH, _HEIGHT, "page")
    _legend(canvas, has_dense=done[0].dense_value is not None)
    for panel in _PANELS:
        _draw(canvas, panel, done, metric)
    return canvas.svg().encode()


def _description(rows: Sequence[SweepRow], metric: str) -> str:
    found = [f"{len(rows)} jobs have a result."]
    for panel in _PANELS:
        front = [row for row in rows if getattr(row, panel.mark)]
        points = "; ".join(
            f"{metric} {row.value:.4g} at {getattr(row, panel.cost):.3g} ({_label(row)})"
            for row in sorted(front, key=lambda row: getattr(row, panel.cost))
        )
        found.append(f"Pareto front by {panel.title}: {points or 'none'}.")
    return " ".join(found)


def _draw(canvas: Canvas, panel: _Panel, rows: Sequence[SweepRow], metric: str) -> None:
    shown = [row for row in rows if getattr(row, panel.cost) is not None]
    dense = rows[0].dense_value
    x, y = _scales(panel, shown, dense)
    _axes(canvas, panel, x, y, metric)
    for row in shown:
        _draw_doubt(canvas, panel, row, x, y)
    front = sorted((row for row in shown if getattr(row, panel.mark)), key=lambda r: _at(panel, r))
    places = [(x.at(a), y.at(b)) for a, b in (_at(panel, row) for row in front)]
    if len(places) > 1:
        canvas.path("M" + "L".join(f"{a:g} {b:g}" for a, b in places), "accent", 2)
    for row in shown:
        cost, value = _at(panel, row)
        is_front = getattr(row, panel.mark)
        canvas.dot(x.at(cost), y.at(value), 5, "accent" if is_front else "muted")
    if dense is not None:
        _diamond(canvas, x.at(1.0), y.at(dense))
    if len(shown) <= _MAX_LABELS:
        for row in shown:
            cost, value = _at(panel, row)
            place = x.at(cost), y.at(value)
            _write_label(canvas, panel, _label(row), place, is_above=getattr(row, panel.mark))


def _at(panel: _Panel, row: SweepRow) -> tuple[float, float]:
    """Return the cost and value of a row that has both."""
    return float(getattr(row, panel.cost)), float(row.value or 0.0)


def _scales(panel: _Panel, rows: Sequence[SweepRow], dense: float | None) -> tuple[Scale, Scale]:
    """Return scales that cover all points, their intervals and the dense network."""
    xs, ys = [1.0] if dense is not None else [], [] if dense is None else [dense]
    for row in rows:
        cost, value = _at(panel, row)
        xs.append(cost)
        ys.append(value)
        ys += row.interval or ()
        if panel.cost == "latency_share":
            xs += row.latency_interval or ()
    return spanning(xs, panel.left, panel.right, 0.14), spanning(ys, _BOTTOM, _TOP)


def _axes(canvas: Canvas, panel: _Panel, x: Scale, y: Scale, metric: str) -> None:
    for tick in y.ticks():
        canvas.line(panel.left, tick.at, panel.right, tick.at, "faint", 1)
        canvas.text(panel.left - 8, tick.at + 4, tick.label, "muted", 12, "end")
    for tick in x.ticks():
        canvas.line(tick.at, _TOP, tick.at, _BOTTOM, "faint", 1)
        canvas.text(tick.at, _BOTTOM + 18, tick.label, "muted", 12)
    canvas.line(panel.left, _BOTTOM, panel.right, _BOTTOM, "muted", 1)
    canvas.text((panel.left + panel.right) / 2, _BOTTOM + 44, panel.title, "ink", 13)
    canvas.text(panel.left, _TOP - 14, metric, "ink", 13, "start")


def _draw_doubt(canvas: Canvas, panel: _Panel, row: SweepRow, x: Scale, y: Scale) -> None:
    """Draw the 95 % intervals of a point as a thin cross."""
    cost, value = _at(panel, row)
    if row.interval is not None:
        low, high = row.interval
        canvas.line(x.at(cost), y.at(low), x.at(cost), y.at(high), "muted", 0.8)
    if row.latency_interval is not None and panel.cost == "latency_share":
        low, high = row.latency_interval
        canvas.line(x.at(low), y.at(value), x.at(high), y.at(value), "muted", 0.8)


def _diamond(canvas: Canvas, x: float, y: float) -> None:
    canvas.area(f"M{x:g} {y - 8:g}l7 8l-7 8l-7 -8Z", "gone")


def _write_label(
    canvas: Canvas, panel: _Panel, text: str, place: tuple[float, float], *, is_above: bool
) -> None:
    """Write a label above and left of a front point, below and right of any other.

    The label moves to the other side if it does not fit.
    """
    (x, y), width = place, _CHARACTER * len(text)
    is_left = x - 8 - width >= panel.left if is_above else x + 8 + width > panel.right
    y += -8 if is_above else 15
    canvas.text(x - 8 if is_left else x + 8, y, text, "muted", 11, "end" if is_left else "start")


def _legend(canvas: Canvas, *, has_dense: bool) -> None:
    x, y = _PANELS[0].left, 34
    canvas.line(x, y - 4, x + 24, y - 4, "accent", 2)
    canvas.dot(x + 12, y - 4, 5, "accent")
    canvas.text(x + 32, y, "Pareto front", "ink", 12, "start")
    canvas.dot(x + 132, y - 4, 5, "muted")
    canvas.text(x + 144, y, "beaten by another", "ink", 12, "start")
    canvas.line(x + 284, y - 12, x + 284, y + 4, "muted", 0.8)
    canvas.text(x + 294, y, "95 % interval", "ink", 12, "start")
    if has_dense:
        _diamond(canvas, x + 404, y - 4)
        canvas.text(x + 417, y, "dense network", "ink", 12, "start")


def _label(row: SweepRow) -> str:
    """Return a point's values as a short label."""
    return ", ".join(
        (value if isinstance(value, str) else json.dumps(value))[:_MAX_CHARACTERS]
        for value in row.point.values()
    )

"""The Pareto picture of a sweep: quality against MACs and against latency, as SVG.

Drawn with matplotlib's object interface, since pyplot keeps figures in a global; the same table
makes the same bytes.
"""

import io
import json
import threading
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from app.sweeps.schemas import SweepRow

_DRAWING = threading.Lock()  # matplotlib's settings are global, and requests come in threads
_MAX_LABELS = 20
_MAX_CHARACTERS = 24  # of one value in a label
_PANELS = (
    ("macs_share", "is_pareto_macs", "MACs, share of dense"),
    ("latency_share", "is_pareto_latency", "latency at batch 1, share of dense"),
)
_FRONT, _OTHERS, _DENSE, _DOUBT = "#1b6ca8", "#9aa5b1", "#c1440e", "#c3ccd6"


def draw_pareto(rows: Sequence[SweepRow]) -> bytes:
    """Return the picture of the rows that have a result; there must be one at least."""
    done = [row for row in rows if row.value is not None]
    settings = mpl.rc_context({"svg.hashsalt": "secateur", "svg.fonttype": "none", "font.size": 9})
    with _DRAWING, settings:
        figure = Figure(figsize=(11, 4.5), layout="constrained")
        for axes, (cost, mark, title) in zip(figure.subplots(1, 2), _PANELS, strict=True):
            _panel(axes, done, cost, mark)
            axes.set_xlabel(title)
            axes.set_ylabel(f"{done[0].metric} ({done[0].split})")
            axes.grid(visible=True, alpha=0.3)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _panel(axes: Axes, rows: Sequence[SweepRow], cost: str, mark: str) -> None:
    points = [
        (float(getattr(row, cost)), float(row.value or 0.0), row)
        for row in rows
        if getattr(row, cost) is not None
    ]
    for x, y, row in points:
        _draw_doubt(axes, x, y, row, cost)
    front = sorted((x, y) for x, y, row in points if getattr(row, mark))
    others = [(x, y) for x, y, row in points if not getattr(row, mark)]
    if others:
        axes.scatter(*zip(*others, strict=True), color=_OTHERS, label="beaten by another")
    if front:
        axes.plot(*zip(*front, strict=True), "o-", color=_FRONT, label="Pareto front")
    if rows[0].dense_value is not None:
        axes.scatter([1.0], [rows[0].dense_value], color=_DENSE, marker="*", s=90, label="dense")
    if len(points) <= _MAX_LABELS:
        for x, y, row in points:
            text = axes.annotate(
                _label(row), (x, y), (4, -9), textcoords="offset points", fontsize=7
            )
            text.set_parse_math(False)  # a glob may hold dollars, which are no formula
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right")


def _draw_doubt(axes: Axes, x: float, y: float, row: SweepRow, cost: str) -> None:
    """Draw the 95 % intervals of a point as a thin cross."""
    lines = []
    if row.interval is not None:
        lines.append(((x, x), row.interval))
    if row.latency_interval is not None and cost == "latency_share":
        lines.append((row.latency_interval, (y, y)))
    for xs, ys in lines:
        axes.plot(xs, ys, color=_DOUBT, linewidth=0.8, zorder=0.5)


def _label(row: SweepRow) -> str:
    """Return the values of a point, short."""
    return ", ".join(
        (value if isinstance(value, str) else json.dumps(value))[:_MAX_CHARACTERS]
        for value in row.point.values()
    )

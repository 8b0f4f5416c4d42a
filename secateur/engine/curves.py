"""The saliency curves as a picture: one small panel a family, its cut marked."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Name, saliencies in ascending order, and how many of the smallest were removed.
Curve = tuple[str, Sequence[float], int]

_COLUMNS = 4
_REMOVED, _KEPT = "#c0392b", "#1f6f54"


def draw_saliency_curves(curves: Sequence[Curve], path: Path) -> None:
    """Write an SVG of all curves; the same curves give the same bytes."""
    rows = max(1, math.ceil(len(curves) / _COLUMNS))
    # A fixed salt and no date: otherwise every run would differ.
    with rc_context({"svg.hashsalt": "secateur", "font.size": 7}):
        figure = Figure(figsize=(10, 1.7 * rows + 0.6), layout="constrained")
        axes = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
        for panel, curve in zip(axes, curves, strict=False):
            _draw(panel, *curve)
        for panel in axes[len(curves) :]:
            panel.set_axis_off()
        figure.suptitle("Saliency of each layer's filters, ascending; red is removed", fontsize=9)
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})


def _draw(panel: Axes, name: str, saliency: Sequence[float], num_removed: int) -> None:
    positions = range(len(saliency))
    colours = [_REMOVED if i < num_removed else _KEPT for i in positions]
    panel.bar(positions, saliency, width=1.0, color=colours)
    if num_removed:
        panel.axvline(num_removed - 0.5, color="black", linewidth=0.8, linestyle="--")
    panel.set_title(f"{name}  {len(saliency)} → {len(saliency) - num_removed}", fontsize=7)
    panel.set_xticks([])
    panel.tick_params(axis="y", labelsize=6)

"""Draws ``saliency_curves.svg``: one panel per family with its removed groups and the cut."""

from collections.abc import Sequence

from app.contracts.report import GroupReport
from app.drawing.canvas import Canvas
from worker.pipeline.report.page.curves import HEIGHT, WIDTH, Panel, panels
from worker.pipeline.report.page.names import layer

CURVES = "saliency_curves.svg"
_COLUMNS = 4
_MARGIN, _GAP, _HEAD = 24, 24, 92
_LINES = 34  # two lines below a panel: name and widths, then range
_MOST_CHARACTERS = 20


def draw_saliency_curves(groups: Sequence[GroupReport]) -> str:
    """Return the curves of the largest families as SVG; equal groups give equal text."""
    shown = panels(groups, None)
    num_rows = max(1, -(-len(shown) // _COLUMNS))
    canvas = Canvas(
        "saliency_curves",
        2 * _MARGIN + _COLUMNS * WIDTH + (_COLUMNS - 1) * _GAP,
        _HEAD + num_rows * (HEIGHT + _LINES + _GAP),
        _description(groups),
        "Saliency of each layer's filters, in ascending order",
    )
    canvas.box(0, 0, canvas.width, canvas.height, "page")
    canvas.text(_MARGIN, 34, canvas.title, size=17, anchor="start", weight="bold")
    _legend(canvas, len(groups) - len(shown))
    for number, panel in enumerate(shown):
        row, column = divmod(number, _COLUMNS)
        x = _MARGIN + column * (WIDTH + _GAP)
        y = _HEAD + row * (HEIGHT + _LINES + _GAP)
        with canvas.moved(x, y, f"{layer(panel.name)}: {panel.summary}"):
            _panel(canvas, panel)
    return canvas.svg()


def _description(groups: Sequence[GroupReport]) -> str:
    before, after = (sum(getattr(g, n) for g in groups) for n in ("num_groups", "num_kept"))
    return (
        f"{len(groups)} layers. Of their {before} channel groups, the {before - after} of least "
        f"saliency in each layer are removed and {after} are kept. Each panel runs from the "
        "smallest to the largest saliency of its layer."
    )


def _legend(canvas: Canvas, num_left_out: int) -> None:
    y = 58
    canvas.box(_MARGIN, y - 10, 12, 12, "gone", 2)
    canvas.text(_MARGIN + 18, y, "removed", "muted", 12, "start")
    canvas.box(_MARGIN + 84, y - 10, 12, 12, "kept", 2)
    canvas.text(_MARGIN + 102, y, "kept", "muted", 12, "start")
    canvas.line(_MARGIN + 152, y - 11, _MARGIN + 152, y + 3, "ink", 1.2, "4 3")
    canvas.text(_MARGIN + 162, y, "cut", "muted", 12, "start")
    if num_left_out:
        text = f"the {num_left_out} smallest layers are left out"
        canvas.text(_MARGIN + 204, y, text, "muted", 12, "start")


def _panel(canvas: Canvas, panel: Panel) -> None:
    if panel.removed:
        canvas.area(panel.removed, "gone")
    if panel.kept:
        canvas.area(panel.kept, "kept")
    canvas.line(0, HEIGHT, WIDTH, HEIGHT, "muted", 1)
    if panel.cut is not None:
        canvas.line(panel.cut, -4, panel.cut, HEIGHT, "ink", 1.2, "4 3")
    canvas.text(0, HEIGHT + 16, _short(layer(panel.name)), "ink", 12, "start")
    widths = f"{panel.num_groups} \N{RIGHTWARDS ARROW} {panel.num_kept}"
    canvas.text(WIDTH, HEIGHT + 16, widths, "ink", 12, "end")
    canvas.text(0, HEIGHT + 31, panel.span, "muted", 11, "start")


def _short(name: str) -> str:
    """Return a name, shortened at its start: the end distinguishes layers."""
    most = _MOST_CHARACTERS
    return name if len(name) <= most else f"\N{HORIZONTAL ELLIPSIS}{name[1 - most :]}"

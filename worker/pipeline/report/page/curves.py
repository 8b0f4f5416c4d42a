"""Saliency curves: one panel per family, with its removed groups and its turn to steep.

`draw` returns one panel for the page. `worker.pipeline.report.saliency_curves` draws all panels in
one file.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.contracts.layers import thin
from app.contracts.report import GroupReport
from app.drawing.numbers import significant
from app.drawing.scales import Scale
from app.drawing.svg import element
from secateur.engine.selection.steepness import rise_of
from worker.pipeline.report.page.names import layer

WIDTH, HEIGHT = 176, 84
TOP, FOOT = 4, 76  # y of the greatest and of the least saliency; bars extend below FOOT
_MOST_PANELS = 240
_POINTS_IN_ALL, _MOST_POINTS, _FEWEST_POINTS = 3600, 48, 12


@dataclass(frozen=True)
class Panel:
    """The curve of one family, in SVG coordinates.

    Attributes:
        name: Name of the family.
        num_groups: Number of groups before pruning.
        num_kept: Number of groups after pruning.
        removed: SVG path of the area below the removed groups; empty if none is removed.
        kept: SVG path of the area below the kept groups; empty if none is kept.
        cut: x between removed and kept groups; None if none is removed.
        wanted: x of the rule's own cut; None if it equals the final cut or is off the curve.
        slope: Line (x1, y1, x2, y2) of the rule's steepness through the turn; None for other rules
            and for curves without a turn.
        reason: Reason for the number of removed groups.
        span: The least and the greatest saliency, as text.
        summary: Text alternative for screen readers.
    """

    name: str
    num_groups: int
    num_kept: int
    removed: str
    kept: str
    cut: float | None
    wanted: float | None
    slope: tuple[float, float, float, float] | None
    reason: str
    span: str
    summary: str


def panels(groups: Sequence[GroupReport], steepness: float | None) -> tuple[Panel, ...]:
    """Return the panels of the largest families, at most 240, in the order of the network.

    Args:
        groups: The families.
        steepness: Steepness of the rule; None for other rules.
    """
    largest = sorted(range(len(groups)), key=lambda i: -groups[i].num_groups)[:_MOST_PANELS]
    num_points = _POINTS_IN_ALL // max(1, len(largest))
    num_points = max(_FEWEST_POINTS, min(_MOST_POINTS, num_points))
    return tuple(_panel(groups[i], steepness, num_points) for i in sorted(largest))


def draw(panel: Panel) -> str:
    """Return the panel as SVG; styles are CSS classes of the page."""
    line = None if panel.slope is None else "M{} {}L{} {}".format(*panel.slope)
    paths = (
        ("removed", panel.removed),
        ("kept", panel.kept),
        ("slope", line),
        ("wanted", _upright(panel.wanted)),
        ("cut", _upright(panel.cut)),
    )
    shapes = [element("path", class_=look, d=path) for look, path in paths if path]
    return element(
        "svg",
        "".join(f"\n{shape}" for shape in shapes) + "\n",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{layer(panel.name)}: {panel.summary}",
    )


def _upright(x: float | None) -> str | None:
    return None if x is None else f"M{x} 0V{HEIGHT}"


def _panel(group: GroupReport, steepness: float | None, num_points: int) -> Panel:
    curve, num_removed = group.saliency, group.num_groups - group.num_kept
    last = len(curve) - 1
    x, y = Scale(0, max(1, len(curve)), 0, WIDTH), _vertical(curve)
    marks = (num_removed - 1, num_removed, group.num_wanted - 1, group.num_wanted)
    shown = thin(curve, marks, num_points)
    removed = [(k, s) for k, s in shown if k < num_removed]
    kept = [(k, s) for k, s in shown if k >= num_removed]
    is_moved = group.num_wanted != num_removed and 0 < group.num_wanted <= last
    return Panel(
        name=group.name,
        num_groups=group.num_groups,
        num_kept=group.num_kept,
        removed=_area(removed, num_removed, x, y),
        kept=_area(kept, len(curve), x, y),
        cut=x.at(num_removed) if num_removed else None,
        wanted=x.at(group.num_wanted) if is_moved else None,
        slope=_slope(group, steepness, x, y),
        reason=group.reason,
        span=_span(curve),
        summary=_summary(group),
    )


def _vertical(curve: Sequence[float]) -> Scale:
    """Return the scale from the least to the greatest saliency; only the curve's shape matters."""
    low, high = (curve[0], curve[-1]) if curve else (0.0, 1.0)
    return Scale(low, high, FOOT, TOP) if high > low else Scale(low - 1, low + 1, FOOT, TOP)


def _area(points: Sequence[tuple[int, float]], end: int, x: Scale, y: Scale) -> str:
    """Return the path below the steps of filters from the first point to ``end``."""
    if not points:
        return ""
    path = f"M{x.at(points[0][0]):g} {HEIGHT}"
    for k, saliency in points:
        path += f"V{y.at(saliency):g}H{x.at(_next(points, k, end)):g}"
    return f"{path}V{HEIGHT}Z"


def _next(points: Sequence[tuple[int, float]], k: int, end: int) -> int:
    return next((other for other, _ in points if other > k), end)


def _slope(
    group: GroupReport, steepness: float | None, x: Scale, y: Scale
) -> tuple[float, float, float, float] | None:
    """Return the line of the rule's slope through the turn, clipped to the panel."""
    curve, turn = group.saliency, group.num_wanted
    last = len(curve) - 1
    if steepness is None or not 0 < turn <= last or curve[0] == curve[-1]:
        return None
    rise = rise_of(curve)
    step = rise * steepness / last  # rise of the line from one filter to the next
    height = min(curve[turn], curve[0] + rise)  # the rule clips higher saliencies
    first = max(0.0, turn - (height - y.low) / step)
    final = min(float(last), turn + (y.high - height) / step)
    start, end = (min(y.high, max(y.low, height + step * (k - turn))) for k in (first, final))
    return x.at(first + 0.5), y.at(start), x.at(final + 0.5), y.at(end)


def _span(curve: Sequence[float]) -> str:
    return f"{significant(curve[0])} to {significant(curve[-1])}" if curve else ""


def _summary(group: GroupReport) -> str:
    if not group.saliency:
        return "no saliency was measured"
    text = f"saliency from {_span(group.saliency)}; "
    if group.threshold is None:
        return text + f"nothing is removed: {group.reason}"
    return text + f"what is below {significant(group.threshold)} is removed: {group.reason}"

"""Line charts of losses, metrics, the range test and the search, as coordinates and SVG.

Coordinates are in SVG units. At its own width, a chart's text is as large as the page's. Styles are
CSS classes of the page.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from app.drawing.scales import Scale, Tick, spanning
from app.drawing.svg import element, escape

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 348, 14, 186
_MOST_EPOCH_TICKS = 8

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A line through values.

    Attributes:
        name: Name in the legend.
        style: CSS classes of the line.
        values: Points (x, y); y is None if there is no value.
    """

    name: str
    style: str
    values: Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Mark:
    """A value marked by a line across the chart: y for a level, x for a moment."""

    name: str
    value: float


@dataclass(frozen=True)
class Line:
    """A series in chart coordinates."""

    name: str
    style: str
    path: str
    dots: tuple[Point, ...]


@dataclass(frozen=True)
class PlacedMark:
    """A mark in chart coordinates."""

    name: str
    at: float


@dataclass(frozen=True)
class Chart:
    """A chart in SVG coordinates.

    Attributes:
        title: Caption.
        summary: Text alternative for screen readers.
        x_label: Label below the horizontal axis.
        y_label: Label above the vertical axis.
        x_ticks: Positions and labels on the horizontal axis.
        y_ticks: Positions and labels on the vertical axis.
        lines: The series.
        levels: Horizontal lines.
        moments: Vertical lines.
    """

    title: str
    summary: str
    x_label: str
    y_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Line, ...]
    levels: tuple[PlacedMark, ...] = ()
    moments: tuple[PlacedMark, ...] = ()


@dataclass(frozen=True)
class Words:
    """Texts of a chart: title, text alternative and axis labels."""

    title: str
    summary: str
    x_label: str
    y_label: str


def line_chart(
    words: Words,
    series: Sequence[Series],
    x: Scale,
    *,
    x_ticks: tuple[Tick, ...] | None = None,
    levels: Sequence[Mark] = (),
    moments: Sequence[Mark] = (),
) -> Chart | None:
    """Return a chart of the series that have values; None if all are empty."""
    shown = [each for each in series if any(value is not None for _, value in each.values)]
    if not shown:
        return None
    values = [y for each in shown for _, y in each.values if y is not None]
    y = spanning([*values, *(level.value for level in levels)], BOTTOM, TOP)
    return Chart(
        title=words.title,
        summary=words.summary,
        x_label=words.x_label,
        y_label=words.y_label,
        x_ticks=x.ticks() if x_ticks is None else x_ticks,
        y_ticks=y.ticks(),
        lines=tuple(_placed(each, x, y) for each in shown),
        levels=tuple(PlacedMark(level.name, y.at(level.value)) for level in levels),
        moments=tuple(PlacedMark(moment.name, x.at(moment.value)) for moment in moments),
    )


def draw(chart: Chart) -> str:
    """Return the chart as SVG."""
    shapes = [
        *(
            _level(tick.at, "grid") + _tick(tick, LEFT - 6, tick.at + 4, "end")
            for tick in chart.y_ticks
        ),
        _level(BOTTOM, "axis"),
        *(_tick(tick, tick.at, BOTTOM + 16, "middle") for tick in chart.x_ticks),
        element(
            "text",
            escape(chart.x_label),
            class_="label",
            x=(LEFT + RIGHT) / 2,
            y=HEIGHT - 8,
            text_anchor="middle",
        ),
        *(_level(level.at, "level") for level in chart.levels),
        *(element("path", class_="moment", d=f"M{m.at} {TOP}V{BOTTOM}") for m in chart.moments),
    ]
    for line in chart.lines:
        shapes.append(element("path", class_=f"line {line.style}", d=line.path))
        if "bare" not in line.style:
            look = f"dot {line.style}"
            shapes.append(
                "".join(element("circle", class_=look, cx=x, cy=y, r=3) for x, y in line.dots)
            )
    return element(
        "svg",
        "\n" + "\n".join(shapes) + "\n",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=f"{chart.title}. {chart.summary}",
    )


def epoch_axis(num_epochs: int, first: int = 1) -> tuple[Scale, tuple[Tick, ...]]:
    """Return the axis of epochs ``first`` to ``num_epochs``, with ticks at whole epochs."""
    last = max(num_epochs, first + 1)
    scale = Scale(first, last, LEFT + 8, RIGHT - 8)
    step = -(-(last - first) // _MOST_EPOCH_TICKS)
    shown = [k for k in range(first, last + 1, step) if k <= num_epochs or k == first]
    return scale, tuple(Tick(scale.at(k), str(k)) for k in shown)


def _placed(series: Series, x: Scale, y: Scale) -> Line:
    dots = tuple((x.at(a), y.at(b)) for a, b in series.values if b is not None)
    path = "M" + "L".join(f"{a:g} {b:g}" for a, b in dots)
    return Line(series.name, series.style, path, dots)


def _level(y: float, look: str) -> str:
    return element("path", class_=look, d=f"M{LEFT} {y}H{RIGHT}")


def _tick(tick: Tick, x: float, y: float, anchor: str) -> str:
    return element("text", escape(tick.label), class_="tick", x=x, y=y, text_anchor=anchor)

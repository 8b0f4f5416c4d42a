"""Line charts: losses, metrics, the range test and the search, as places in a picture.

Only geometry is made here; the page's template draws it. Sizes are in units of the picture, whose
text is as large as the page's where it is shown at its own width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.pipeline.report.page.scales import Scale, Tick, spanning

WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 52, 348, 14, 186
_MOST_EPOCH_TICKS = 8

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A line through values.

    Attributes:
        name: In the legend.
        style: A class of the page's style: how it is drawn.
        values: (x, y); y None where there is no value.
    """

    name: str
    style: str
    values: Sequence[tuple[float, float | None]]


@dataclass(frozen=True)
class Mark:
    """A value worth a line across the chart: of y (a level) or of x (a moment)."""

    name: str
    value: float


@dataclass(frozen=True)
class Line:
    """A series, placed."""

    name: str
    style: str
    path: str
    dots: tuple[Point, ...]


@dataclass(frozen=True)
class PlacedMark:
    """A mark, placed."""

    name: str
    at: float


@dataclass(frozen=True)
class Chart:
    """What the template draws.

    Attributes:
        title: Its caption.
        summary: What it shows, for those who do not see it.
        x_label: Below the horizontal axis.
        y_label: Above the vertical one.
        x_ticks: Where, and what is written there.
        y_ticks: The same.
        lines: The series.
        levels: Lines across.
        moments: Lines upright.
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
    """What is written on a chart."""

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
    """Return a chart of the series that have values; None if none has."""
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


def epoch_axis(num_epochs: int, first: int = 1) -> tuple[Scale, tuple[Tick, ...]]:
    """Return the axis of epochs ``first`` to ``num_epochs``, with whole numbers at its ticks."""
    last = max(num_epochs, first + 1)
    scale = Scale(first, last, LEFT + 8, RIGHT - 8)
    step = -(-(last - first) // _MOST_EPOCH_TICKS)
    shown = [k for k in range(first, last + 1, step) if k <= num_epochs or k == first]
    return scale, tuple(Tick(scale.at(k), str(k)) for k in shown)


def _placed(series: Series, x: Scale, y: Scale) -> Line:
    dots = tuple((x.at(a), y.at(b)) for a, b in series.values if b is not None)
    path = "M" + "L".join(f"{a:g} {b:g}" for a, b in dots)
    return Line(series.name, series.style, path, dots)

"""Picture of a channel group: the slices that are removed together with one filter."""

from app.drawing.canvas import Canvas

_CELL, _GAP = 17, 3
_NUM_CHANNELS = 8
_GONE = 3
_TOP = 84


def draw() -> Canvas:
    """Return the picture."""
    canvas = Canvas(
        "channel-group",
        800,
        290,
        "One channel group: filter 3 of conv1, entry 3 of every tensor of bn1, feature map 3, and "
        "input channel 3 of every filter of conv2 are removed together.",
    )
    canvas.text(
        400,
        24,
        "Removing filter 3 of conv1 removes all of these slices",
        size=15,
        weight="bold",
    )
    _column(canvas, 30, "conv1.weight", "8 filters", widths=[120])
    canvas.arrow([(156, _middle()), (196, _middle())])
    _column(canvas, 214, "bn1", "scale, shift, mean, var", widths=[_CELL] * 4)
    canvas.arrow([(300, _middle()), (340, _middle())])
    _maps(canvas, 362)
    canvas.arrow([(436, _middle()), (476, _middle())])
    _matrix(canvas, 500)
    canvas.code(90, 274, "weight[3]", "gone")
    canvas.code(252, 274, "each [3]", "gone")
    canvas.code(388, 274, "channel 3", "gone")
    canvas.code(578, 274, "weight[:, 3]", "gone")
    canvas.text(690, _TOP + 40, "Every reader", "muted", 12, "start")
    canvas.text(690, _TOP + 57, "of the channel:", "muted", 12, "start")
    canvas.text(690, _TOP + 74, "convolutions,", "muted", 12, "start")
    canvas.text(690, _TOP + 91, "linear layers,", "muted", 12, "start")
    canvas.text(690, _TOP + 108, "sums, concats …", "muted", 12, "start")
    return canvas


def _middle() -> float:
    return _TOP + _NUM_CHANNELS * (_CELL + _GAP) / 2 - _GAP / 2


def _row(index: int) -> float:
    return _TOP + index * (_CELL + _GAP)


def _colour(*indices: int) -> str:
    return "gone" if _GONE in indices else "kept"


def _column(canvas: Canvas, x: float, name: str, note: str, widths: list[int]) -> None:
    total = sum(widths) + _GAP * (len(widths) - 1)
    _heading(canvas, x + total / 2, name, note)
    left = x
    for width in widths:
        for index in range(_NUM_CHANNELS):
            canvas.box(left, _row(index), width, _CELL, _colour(index), 3)
        left += width + _GAP


def _maps(canvas: Canvas, x: float) -> None:
    _heading(canvas, x + 26, "value", "8 feature maps")
    for index in range(_NUM_CHANNELS):
        canvas.box(x, _row(index), 52, _CELL, _colour(index), 3)
        for number in range(1, 4):
            canvas.line(
                x + 13 * number, _row(index), x + 13 * number, _row(index) + _CELL, "paper", 1
            )


def _matrix(canvas: Canvas, x: float) -> None:
    _heading(canvas, x + 78, "conv2.weight", "filters by inputs")
    for row in range(_NUM_CHANNELS):
        for column in range(_NUM_CHANNELS):
            left = x + column * (_CELL + _GAP)
            canvas.box(left, _row(row), _CELL, _CELL, _colour(column), 3)


def _heading(canvas: Canvas, x: float, name: str, note: str) -> None:
    canvas.code(x, _TOP - 28, name, size=13)
    canvas.text(x, _TOP - 11, note, "muted", 12)

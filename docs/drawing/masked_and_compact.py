"""Picture of the masked twin and the compacted network, which compute the same function."""

from app.drawing.canvas import Canvas

_CELL, _GAP = 15, 3
_TOP = 92
_FIRST, _SECOND = (6, 4), (5, 6)  # filters, input channels
_GONE = {1, 4}


def draw() -> Canvas:
    """Return the picture."""
    canvas = Canvas(
        "masked-and-compact",
        800,
        246,
        "Left, the masked twin: filters 1 and 4 of conv1 and input channels 1 and 4 of conv2 are "
        "zero and stay zero. Right, the compacted network: the same weights without the zeros. "
        "Both give the same outputs.",
    )
    canvas.text(178, 26, "Masked twin", size=15, weight="bold")
    canvas.text(178, 46, "full size; red is zero and stays zero", "muted", 12)
    canvas.text(630, 26, "Compacted network", size=15, weight="bold")
    canvas.text(630, 46, "without the zeros and their cost", "muted", 12)
    _layer(canvas, 52, "conv1.weight", _FIRST, rows=_GONE, columns=set(), is_compact=False)
    canvas.arrow([(134, 144), (188, 144)])
    _layer(canvas, 204, "conv2.weight", _SECOND, rows=set(), columns=_GONE, is_compact=False)
    _layer(canvas, 528, "conv1.weight", _FIRST, rows=_GONE, columns=set(), is_compact=True)
    canvas.arrow([(610, 144), (664, 144)])
    _layer(canvas, 680, "conv2.weight", _SECOND, rows=set(), columns=_GONE, is_compact=True)
    canvas.arrow([(340, 152), (498, 152)], "accent")
    canvas.arrow([(498, 152), (340, 152)], "accent")
    canvas.text(419, 134, "same outputs", "accent", 14, weight="bold")
    canvas.text(419, 174, "proven for every job:", "muted", 12)
    canvas.text(419, 191, "1e-9 relative, float64", "muted", 12)
    canvas.text(93, 228, "6 filters", "muted", 12)
    canvas.text(256, 228, "6 input channels", "muted", 12)
    canvas.text(569, 228, "4 filters", "muted", 12)
    canvas.text(714, 228, "4 input channels", "muted", 12)
    return canvas


def _layer(  # noqa: PLR0913  # a matrix and its removed rows and columns
    canvas: Canvas,
    x: float,
    name: str,
    size: tuple[int, int],
    *,
    rows: set[int],
    columns: set[int],
    is_compact: bool,
) -> None:
    stay_rows = [r for r in range(size[0]) if not is_compact or r not in rows]
    stay_columns = [c for c in range(size[1]) if not is_compact or c not in columns]
    width = len(stay_columns) * (_CELL + _GAP) - _GAP
    height = len(stay_rows) * (_CELL + _GAP) - _GAP
    top = _TOP + (6 * (_CELL + _GAP) - _GAP - height) / 2
    canvas.code(x + width / 2 + 3, _TOP - 18, name)
    for down, row in enumerate(stay_rows):
        for right, column in enumerate(stay_columns):
            is_gone = row in rows or column in columns
            left, upper = x + right * (_CELL + _GAP), top + down * (_CELL + _GAP)
            canvas.box(left, upper, _CELL, _CELL, "none-gone" if is_gone else "kept", 3)
            if is_gone:
                canvas.text(left + _CELL / 2, upper + 11.5, "0", "gone", 10)

"""Picture of the service in four steps."""

from app.drawing.canvas import Canvas

_BOXES = (
    ("upload", "a .pt2 model", "and some data"),
    ("prune", "score, cut, prove,", "retrain, export"),
    ("poll", "progress, report,", "files"),
    ("infer", "tensors or images", "over HTTP"),
)
_WIDTH, _STEP = 158, 200


def draw() -> Canvas:
    """Return the picture."""
    canvas = Canvas("overview", 800, 118, "Upload, prune, poll, infer.")
    for number, (name, *words) in enumerate(_BOXES):
        x = 21 + number * _STEP
        canvas.box(x, 10, _WIDTH, 96, "paper-faint", 10)
        canvas.text(x + _WIDTH / 2, 42, name, "accent", 18, weight="bold")
        for line, text in enumerate(words):
            canvas.text(x + _WIDTH / 2, 68 + 18 * line, text, "muted", 13)
        if number:
            canvas.arrow([(x - _STEP + _WIDTH + 8, 58), (x - 8, 58)])
    return canvas

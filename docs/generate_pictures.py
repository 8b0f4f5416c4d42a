"""Generate docs/pictures/*.svg: ``python -m docs.generate_pictures``."""

from pathlib import Path

from docs.drawing import (
    accuracy,
    channel_group,
    life_of_a_job,
    masked_and_compact,
    overview,
    steepness,
)

TARGET = Path(__file__).parent / "pictures"
DRAWINGS = (overview, accuracy, channel_group, steepness, masked_and_compact, life_of_a_job)


def render() -> dict[str, str]:
    """Return every picture as SVG text, keyed by file name."""
    canvases = [drawing.draw() for drawing in DRAWINGS]
    return {f"{canvas.name}.svg": canvas.svg() for canvas in canvases}


if __name__ == "__main__":
    for name, text in render().items():
        (TARGET / name).write_text(text)

"""Canvas that collects shapes and writes SVG. The pictures themselves live elsewhere.

Colours are CSS custom properties. A page that embeds the SVG inline sets them for its light and
dark themes (`docs/assets/extra.css`). A standalone file follows the reader's preferred colour
scheme.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from app.drawing.svg import coordinate, element, escape

# Name: (light theme, dark theme). Text on the page has a contrast of at least 4.5 in both.
COLOURS = {
    "ink": ("#24292f", "#e6edf3"),
    "muted": ("#59636e", "#9aa4af"),
    "faint": ("#d1d9e0", "#3d444d"),
    "page": ("#ffffff", "#0d1117"),
    "paper": ("#f6f8fa", "#262c36"),
    "kept": ("#1a7f5a", "#4ac99b"),
    "gone": ("#c9364a", "#ff7b86"),
    "accent": ("#3355c4", "#8ea8ff"),
}
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
_HEAD = 7.0  # length of an arrowhead


class Canvas:
    """SVG picture: a list of shapes, in drawing order."""

    def __init__(
        self, name: str, width: int, height: int, description: str, title: str = ""
    ) -> None:
        """Create an empty picture.

        Args:
            name: File name.
            width: Width in user units.
            height: Height in user units.
            description: Text alternative for screen readers.
            title: Short title; if empty, the description is the title.
        """
        self.name, self.width, self.height = name, width, height
        self.title, self.description = title, description
        self._shapes: list[str] = []

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        look: str = "paper-faint",
        radius: float = 0,
    ) -> None:
        """Draw a rectangle; ``look`` is ``FILL-STROKE``."""
        corner = f' rx="{coordinate(radius)}"' if radius else ""
        place = f'x="{coordinate(x)}" y="{coordinate(y)}"'
        size = f'width="{coordinate(width)}" height="{coordinate(height)}"'
        self._shapes.append(f"<rect {place} {size}{corner} {_look(look)}/>")

    def text(  # noqa: PLR0913, PLR0917  # one argument per SVG attribute
        self,
        x: float,
        y: float,
        text: str,
        colour: str = "ink",
        size: float = 13,
        anchor: str = "middle",
        weight: str = "normal",
        family: str | None = None,
    ) -> None:
        """Draw one line of text; ``y`` is its baseline."""
        bold = ' font-weight="600"' if weight == "bold" else ""
        font = f' font-family="{family}"' if family else ""
        place = f'x="{coordinate(x)}" y="{coordinate(y)}" text-anchor="{anchor}"'
        look = f'font-size="{coordinate(size)}"{bold}{font} {_fill(colour)}'
        self._shapes.append(f"<text {place} {look}>{escape(text)}</text>")

    def code(self, x: float, y: float, text: str, colour: str = "ink", size: float = 12) -> None:
        """Draw one line of text in a monospace font."""
        self.text(x, y, text, colour, size, family="ui-monospace, 'DejaVu Sans Mono', monospace")

    def line(  # noqa: PLR0913, PLR0917  # one argument per SVG attribute
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        colour: str = "muted",
        width: float = 1.5,
        dashes: str = "",
    ) -> None:
        """Draw a straight line."""
        self.path(
            f"M{coordinate(x1)} {coordinate(y1)} L{coordinate(x2)} {coordinate(y2)}",
            colour,
            width,
            dashes,
        )

    def path(self, path: str, colour: str, width: float = 1.5, dashes: str = "") -> None:
        """Draw an open path."""
        dash = f' stroke-dasharray="{dashes}"' if dashes else ""
        look = f'fill="none" style="stroke:var(--{self._prefix(colour)})"'
        self._shapes.append(f'<path d="{path}" stroke-width="{coordinate(width)}"{dash} {look}/>')

    def area(self, path: str, colour: str) -> None:
        """Fill a closed path."""
        self._shapes.append(element("path", d=path, style=_fill_of(colour)))

    def dot(self, x: float, y: float, radius: float, colour: str, edge: str = "page") -> None:
        """Draw a filled circle with a thin edge."""
        look = f"{_fill_of(colour)};stroke:var(--picture-{edge})"
        place = {"cx": coordinate(x), "cy": coordinate(y), "r": coordinate(radius)}
        self._shapes.append(element("circle", **place, style=look))

    @contextmanager
    def moved(self, x: float, y: float, title: str = "") -> Iterator[None]:
        """Group the shapes drawn inside, translated by (x, y), under an optional title."""
        self._shapes.append(f'<g transform="translate({coordinate(x)} {coordinate(y)})">')
        if title:
            self._shapes.append(element("title", escape(title)))
        yield
        self._shapes.append("</g>")

    def arrow(self, points: list[tuple[float, float]], colour: str = "muted") -> None:
        """Draw a line through the points, with an arrowhead at the last one."""
        (x1, y1), (x2, y2) = points[-2:]
        length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5
        dx, dy = (x2 - x1) / length, (y2 - y1) / length
        base_x, base_y = x2 - _HEAD * dx, y2 - _HEAD * dy
        along = [*points[:-1], (base_x, base_y)]
        self.path("M" + " L".join(f"{coordinate(x)} {coordinate(y)}" for x, y in along), colour)
        half = 0.5 * _HEAD
        corners = [
            (x2, y2),
            (base_x - half * dy, base_y + half * dx),
            (base_x + half * dy, base_y - half * dx),
        ]
        spelled = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in corners)
        self._shapes.append(f'<polygon points="{spelled}" {_fill(colour)}/>')

    def svg(self) -> str:
        """Return the SVG document."""
        light = "".join(f"--picture-{name}:{pair[0]};" for name, pair in COLOURS.items())
        dark = "".join(f"--picture-{name}:{pair[1]};" for name, pair in COLOURS.items())
        style = f"svg.picture{{{light}}}@media(prefers-color-scheme:dark){{svg.picture{{{dark}}}}}"
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" class="picture" role="img" '
            f'viewBox="0 0 {self.width} {self.height}" font-family="{FONT}">'
        )
        said = [element("title", escape(self.title or self.description))]
        if self.title:
            said.append(element("desc", escape(self.description)))
        return "\n".join([head, *said, f"<style>{style}</style>", *self._shapes, "</svg>"]) + "\n"

    @staticmethod
    def _prefix(colour: str) -> str:
        return f"picture-{colour}"


def _look(look: str) -> str:
    fill, _, stroke = look.partition("-")
    inside = f"fill:var(--picture-{fill})" if fill != "none" else "fill:none"
    border = f";stroke:var(--picture-{stroke});stroke-width:1.2" if stroke else ""
    return f'style="{inside}{border}"'


def _fill(colour: str) -> str:
    return f'style="{_fill_of(colour)}"'


def _fill_of(colour: str) -> str:
    return f"fill:var(--picture-{colour})"

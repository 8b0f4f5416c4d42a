"""Terminal output that shows untrusted text literally.

Names, labels and messages come from other users and from the service. They may contain terminal
escape sequences (which move the cursor, rename the window or hide lines), rich's markup, or
characters that reverse the direction of writing.
"""

from collections.abc import Iterable
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_LINE_BREAKS = {ord("\n"), ord("\t")}
_CONTROLS = {*range(0x20), 0x7F, *range(0x80, 0xA0)} - _LINE_BREAKS
_DIRECTIONS = {0x061C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A)}
_ESCAPED = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004  # one byte
    for code in _CONTROLS | _DIRECTIONS
}


def visible(text: object) -> str:
    """Return a value as text in which control and direction characters are escaped.

    Line breaks and tabs stay.
    """
    return str(text).translate(_ESCAPED)


class LiteralConsole(Console):
    """A rich console without markup and emoji codes, on which control characters are escaped."""

    def __init__(
        self, *, file: IO[str] | None = None, stderr: bool = False, width: int | None = None
    ) -> None:
        super().__init__(
            file=file, stderr=stderr, width=width, markup=False, emoji=False, highlight=False
        )

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Yield the segments of a renderable with their texts escaped."""
        for segment in super().render(renderable, options):
            if segment.control:
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)

"""Parts of a file that were not read, and why: reported, as the user may have meant them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_MAX_SHOWN = 5
_MAX_NAME = 80


@dataclass(frozen=True)
class LeftOut:
    """Files, arrays or columns left out for one reason.

    Attributes:
        what: ``file``, ``array`` or ``column``.
        reason: The reason in a few words.
        count: Number of items.
        names: The first few names.
    """

    what: str
    reason: str
    count: int
    names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the entry as it appears in the summary."""
        reason, names = self.reason, list(self.names)
        return {"what": self.what, "reason": reason, "count": self.count, "names": names}

    def note(self) -> str:
        """Return the entry as a sentence."""
        were = f"1 {self.what} was" if self.count == 1 else f"{self.count} {self.what}s were"
        return f"{were} left out ({self.reason}): {shown(self.names, self.count)}"


def leave_out(what: str, reason: str, names: Iterable[str]) -> tuple[LeftOut, ...]:
    """Return an entry for ``names``, or nothing if there are none."""
    found = list(names)
    if not found:
        return ()
    first = tuple(name[:_MAX_NAME] for name in found[:_MAX_SHOWN])
    return (LeftOut(what, reason, len(found), first),)


def shown(names: Iterable[str], count: int | None = None) -> str:
    """Return the first few names as text, with the number of the others."""
    found = list(names)
    first = ", ".join(repr(name[:_MAX_NAME]) for name in found[:_MAX_SHOWN])
    more = (len(found) if count is None else count) - min(len(found), _MAX_SHOWN)
    return f"{first} and {more} more" if more > 0 else first

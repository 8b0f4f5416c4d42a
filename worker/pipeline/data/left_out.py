"""What of a file was not read, and why: the user is told, because it may have been meant."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_MAX_SHOWN = 5
_MAX_NAME = 80


@dataclass(frozen=True)
class LeftOut:
    """Things that were not read for one reason.

    Attributes:
        what: ``file``, ``array`` or ``column``.
        reason: Why, in a few words.
        count: How many.
        names: The first of them.
    """

    what: str
    reason: str
    count: int
    names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as the summary shows it."""
        reason, names = self.reason, list(self.names)
        return {"what": self.what, "reason": reason, "count": self.count, "names": names}

    def note(self) -> str:
        """Return it as a sentence."""
        were = f"1 {self.what} was" if self.count == 1 else f"{self.count} {self.what}s were"
        return f"{were} left out ({self.reason}): {shown(self.names, self.count)}"


def leave_out(what: str, reason: str, names: Iterable[str]) -> tuple[LeftOut, ...]:
    """Return what is said of ``names``; nothing, if there are none."""
    found = list(names)
    if not found:
        return ()
    first = tuple(name[:_MAX_NAME] for name in found[:_MAX_SHOWN])
    return (LeftOut(what, reason, len(found), first),)


def shown(names: Iterable[str], count: int | None = None) -> str:
    """Return the first of some names as text, and how many there are besides."""
    found = list(names)
    first = ", ".join(repr(name[:_MAX_NAME]) for name in found[:_MAX_SHOWN])
    more = (len(found) if count is None else count) - min(len(found), _MAX_SHOWN)
    return f"{first} and {more} more" if more > 0 else first

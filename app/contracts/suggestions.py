"""What a user may have meant by a name that is not known."""

import difflib
from collections.abc import Iterable, Mapping

_LEAST_LIKENESS = 0.6
_LEAST_PREFIX = 3


def suggestion(given: str, known: Iterable[str], others: Mapping[str, str] | None = None) -> str:
    """Return ``: did you mean 'x'?``, or nothing where no known name is like the one given.

    Args:
        given: What was written.
        known: What may be.
        others: Names that are given instead of one that is known, though they are not like it.
    """
    found = closest(given, known, others)
    return "" if found is None else f": did you mean {found!r}?"


def closest(
    given: str, known: Iterable[str], others: Mapping[str, str] | None = None
) -> str | None:
    """Return the known name that is most like the one given, if any is like it."""
    names = {_plain(name): name for name in known}
    plain = _plain(given[:100])
    if plain in names:
        return names[plain]
    if others is not None and plain in others:
        return others[plain]
    alike = difflib.get_close_matches(plain, names, 1, _LEAST_LIKENESS)
    if alike:
        return names[alike[0]]
    if len(plain) >= _LEAST_PREFIX:
        longer = [name for name in names if name.startswith(plain) or plain.startswith(name)]
        if len(longer) == 1:
            return names[longer[0]]
    return None


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")

"""Suggest known names for an unknown one."""

import difflib
from collections.abc import Iterable, Mapping

_LEAST_LIKENESS = 0.6
_LEAST_PREFIX = 3


def suggestion(given: str, known: Iterable[str], others: Mapping[str, str] | None = None) -> str:
    """Return ``: did you mean 'x'?``, or an empty string if no known name is similar.

    Args:
        given: The unknown name.
        known: The valid names.
        others: Synonyms: valid name by other name, for pairs that are not similar.
    """
    found = closest(given, known, others)
    return "" if found is None else f": did you mean {found!r}?"


def closest(
    given: str, known: Iterable[str], others: Mapping[str, str] | None = None
) -> str | None:
    """Return the known name that is most similar to ``given``, or None."""
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

"""An error in one line that may be shown to a user."""

import re

_MAX_CHARACTERS = 500
# "cannot import name 'x' from 'y' (/home/…/y.py)": where Python lies is nobody's business.
_PATH = re.compile(r" \((?:/|unknown location)[^)]*\)$")


def cause_of(error: BaseException) -> str:
    """Return the kind of an error and the first line of what it says, without its path."""
    line = _PATH.sub("", str(error).strip().partition("\n")[0])[:_MAX_CHARACTERS]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__

"""Format an error as one line that is safe to show to users."""

import re

_MAX_CHARACTERS = 500
# "cannot import name 'x' from 'y' (/home/…/y.py)": users must not see paths of the server.
_PATH = re.compile(r" \((?:/|unknown location)[^)]*\)$")


def cause_of(error: BaseException) -> str:
    """Return the type of an error and the first line of its message, without a path."""
    line = _PATH.sub("", str(error).strip().partition("\n")[0])[:_MAX_CHARACTERS]
    return f"{type(error).__name__}: {line}" if line else type(error).__name__

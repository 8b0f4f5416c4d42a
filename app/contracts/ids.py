"""Object ids: a prefix that says what it is and a ULID that sorts by time of birth."""

from typing import Literal

from ulid import ULID

Prefix = Literal["mdl", "ds", "job", "art", "key", "req", "swp", "whd"]


def new_id(prefix: Prefix) -> str:
    """Return a fresh id such as ``job_01JD…`` (26 characters of Crockford base 32)."""
    return f"{prefix}_{ULID()}"

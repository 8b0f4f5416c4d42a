"""Ids: a prefix for the kind of resource, and a ULID that sorts by time of creation."""

from typing import Literal

from ulid import ULID

Prefix = Literal["mdl", "ds", "job", "art", "key", "lat", "req", "shr", "swp", "whd"]


def new_id(prefix: Prefix) -> str:
    """Return a new id such as ``job_01JD…`` (26 characters of Crockford base 32)."""
    return f"{prefix}_{ULID()}"

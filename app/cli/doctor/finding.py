"""One thing that was looked at, and what to do about it."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How it is."""

    OK = "ok"
    NOTE = "note"  # works, and something is worth knowing
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: Of the part.
        status: How it is.
        detail: What was found.
        advice: What to do; empty where nothing is to be done.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""

"""Result of one check and the advice for the user."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Outcome of a check."""

    OK = "ok"
    NOTE = "note"  # works, with a caveat
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """Result of one check.

    Attributes:
        name: Part of the installation that was checked.
        status: Outcome.
        detail: Observed state.
        advice: What the user should do. Empty if nothing.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""

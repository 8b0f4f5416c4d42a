"""What a key may do: a closed list. Every route of the API asks for one of these."""

from collections.abc import Iterable
from typing import Literal, cast, get_args

from app.contracts.errors import InvalidInputError

Scope = Literal[
    "models:read",
    "models:write",
    "datasets:read",
    "datasets:write",
    "jobs:read",
    "jobs:write",
    "infer",
    "quotas:read",
    "admin",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)
ADMIN: Scope = "admin"  # includes the others, for the things of its tenant alone


def parse_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """Return scopes by name, each once and in the order of the list.

    Raises:
        InvalidInputError: There is none, or one is unknown.
    """
    wanted = set(names)
    unknown = sorted(wanted - set(SCOPES))
    if unknown or not wanted:
        what = f"there is no scope {unknown[0][:64]!r}" if unknown else "a key needs a scope"
        raise InvalidInputError(f"{what}; there are {', '.join(SCOPES)}")
    return cast("tuple[Scope, ...]", tuple(scope for scope in SCOPES if scope in wanted))

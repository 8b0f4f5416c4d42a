"""Scopes of keys, a closed list. Every route of the API requires one."""

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
    "metrics:read",
    "admin",
    "operator",
]
SCOPES: tuple[Scope, ...] = get_args(Scope)
ADMIN: Scope = "admin"  # includes the others but `operator`, within its tenant
OPERATOR: Scope = "operator"  # workers, queues and tenants of the whole service


def parse_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """Return scopes by name, without duplicates, in the list's order.

    Raises:
        InvalidInputError: No scope is given, or one is unknown.
    """
    wanted = set(names)
    unknown = sorted(wanted - set(SCOPES))
    if unknown or not wanted:
        what = f"there is no scope {unknown[0][:64]!r}" if unknown else "a key needs a scope"
        raise InvalidInputError(f"{what}; the scopes are {', '.join(SCOPES)}")
    return cast("tuple[Scope, ...]", tuple(scope for scope in SCOPES if scope in wanted))

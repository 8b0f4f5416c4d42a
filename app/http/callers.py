"""The caller of a request, found before its body is read and kept in its scope."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.types import Scope

_KEY = "secateur.caller"
ANYBODY = ""  # in place of a tenant: requests that need no key


class Caller(Protocol):
    """An authenticated caller."""

    @property
    def tenant(self) -> str:
        """The tenant that the caller belongs to."""
        ...


# Raises if a request's key is missing or wrong.
Identify = Callable[[Scope], Awaitable[Caller]]


def put_caller(scope: Scope, caller: Caller) -> None:
    """Put the caller into the request's scope."""
    scope[_KEY] = caller


def caller_of(scope: Scope) -> Caller | None:
    """Return the caller in a scope; None if the request needs no key."""
    caller: Caller | None = scope.get(_KEY)
    return caller


def tenant_of(scope: Scope) -> str:
    """Return the caller's tenant, or `ANYBODY`."""
    caller = caller_of(scope)
    return ANYBODY if caller is None else caller.tenant

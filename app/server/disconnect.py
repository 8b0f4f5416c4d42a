"""Has the client hung up? Asked without waiting, by whoever is about to work for it."""

import weakref
from collections.abc import Callable

from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_KEY = "secateur.cycle"

HasLeft = Callable[[], bool]


def put_cycle(scope: Scope, cycle: RequestResponseCycle) -> None:
    """Put uvicorn's request and response into its own scope.

    Weakly: as a circle, each request and its body would stay until garbage is collected.
    """
    scope[_KEY] = weakref.ref(cycle)


def cycle_of(scope: Scope) -> RequestResponseCycle | None:
    """Return what was put into the scope; None under another server."""
    reference: weakref.ref[RequestResponseCycle] | None = scope.get(_KEY)
    return None if reference is None else reference()


def has_left(scope: Scope) -> HasLeft:
    """Return a function that says whether the client of a request is gone."""
    cycle = cycle_of(scope)
    return lambda: cycle is not None and cycle.disconnected

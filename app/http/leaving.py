"""Has the client hung up? Asked without waiting, by whoever is about to work for it."""

from collections.abc import Callable

from starlette.types import Scope

CYCLE = "secateur.cycle"  # uvicorn's request and response, put into the scope by `protocol`

HasLeft = Callable[[], bool]


def has_left(scope: Scope) -> HasLeft:
    """Return a function that says whether the client of a request is gone."""
    cycle = scope.get(CYCLE)
    return lambda: cycle is not None and bool(cycle.disconnected)

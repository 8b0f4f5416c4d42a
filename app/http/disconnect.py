"""Detects clients that have hung up."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Protocol

from starlette.requests import Request
from starlette.types import Scope

from app.contracts.errors import AbandonedError

_KEY = "secateur.exchange"


class Exchange(Protocol):
    """A request and its response, as the server holds them.

    Attributes:
        disconnected: Whether the client has hung up.
        more_body: Whether more of the body is still to arrive.
    """

    disconnected: bool
    more_body: bool


def put_exchange(scope: Scope, exchange: Exchange) -> None:
    """Put the server's object into its own scope.

    As a weak reference: a cycle would keep the body alive until garbage collection.
    """
    scope[_KEY] = weakref.ref(exchange)


def exchange_of(scope: Scope) -> Exchange | None:
    """Return the server's object in the scope; None under another server."""
    reference: weakref.ref[Exchange] | None = scope.get(_KEY)
    return None if reference is None else reference()


def disconnect_check(scope: Scope) -> Callable[[], bool]:
    """Return a function that tells whether a request's client has hung up."""
    exchange = exchange_of(scope)
    return lambda: exchange is not None and exchange.disconnected


async def wait_with_client(request: Request, seconds: float) -> None:
    """Wait for some seconds, but no longer than the client does.

    Raises:
        AbandonedError: The client has hung up.
    """
    try:
        async with asyncio.timeout(seconds):
            while (await request.receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return
    raise AbandonedError

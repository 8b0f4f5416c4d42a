"""Reads lists page by page."""

from typing import Any

from secateur.core.calls import Context, call
from secateur.core.endpoints import Endpoint
from secateur.core.requests import make_request
from secateur.core.steps import Flow

_PAGE = 100  # the service's largest page


def list_all(
    context: Context, endpoint: Endpoint, limit: int | None, **search: object
) -> Flow[list[Any]]:
    """Return up to ``limit`` items, newest first; all items if None. ``search`` narrows them."""
    found: list[Any] = []
    after: str | None = None
    while limit is None or len(found) < limit:
        num_wanted = _PAGE if limit is None else min(_PAGE, limit - len(found))
        query = {"limit": num_wanted, "after": after, **search}
        page = yield from call(context, make_request(endpoint, query=query))
        found += page.data
        after = page.next_after
        if not page.has_more or after is None:
            break
    return found

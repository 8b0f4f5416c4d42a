"""Query parameters: unknown ones are refused, so that a typo never falls back to a default."""

from collections.abc import Iterable, Iterator
from typing import Annotated

from fastapi import Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from app.contracts.errors import ErrorDetail, InvalidInputError
from app.contracts.suggestions import suggestion

Permanent = Annotated[
    bool,
    Query(
        description="Delete for good: it cannot be restored, and no longer counts as stored bytes."
    ),
]


async def refuse_unknown_query(request: Request) -> None:
    """Check the names of a request's query parameters.

    Raises:
        InvalidInputError: The route does not have a parameter.
    """
    route = request.scope.get("route")
    if request.scope["query_string"] and isinstance(route, APIRoute):
        refuse_unknown(request.query_params.keys(), frozenset(_names_of(route.dependant)))


def refuse_unknown(given: Iterable[str], known: frozenset[str]) -> None:
    """Raise `InvalidInputError` for a name that is not known."""
    for name in given:
        if name not in known:
            meant = suggestion(name, known)
            takes = f" Known are {', '.join(sorted(known))}" if known else " There are none"
            message = f"unknown query parameter {name[:64]!r}{meant or '.'}{takes}"
            detail = f"is not known{meant}"
            raise InvalidInputError(message, details=[ErrorDetail(f"/{name[:64]}", detail)])


def _names_of(dependant: Dependant) -> Iterator[str]:
    for field in dependant.query_params:
        yield field.alias
    for inner in dependant.dependencies:
        yield from _names_of(inner)

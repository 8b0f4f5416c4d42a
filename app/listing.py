"""``GET`` on a collection, shared by all kinds of rows."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Select
from sqlalchemy.orm import Session

from app.dependencies import ContextDep, PrincipalDep
from app.keys.scopes import Scope
from app.paging import After, Limit, Order, Page, Row, fetch_page
from app.records.database import reading


def add_list(  # noqa: PLR0913  # how one kind of row differs from another
    router: APIRouter,
    row_type: type[Row],
    *,
    name: str,
    description: str,
    scope: Scope,
    query: Callable[[str], "Select[Row]"],
    show: Callable[[Session, Sequence[Row]], Sequence[Any]],
) -> None:
    """Add the route that lists a tenant's rows, newest first.

    Args:
        router: Router of the collection.
        row_type: Type of the listed rows, which have an ``id``.
        name: Name of the route in the OpenAPI document.
        description: Description of the route in the OpenAPI document.
        scope: Scope that the key needs.
        query: Returns the query for a tenant's rows.
        show: Returns the API's representation of rows.
    """

    @router.get("", name=name, description=description)
    def list_rows(
        context: ContextDep,
        principal: PrincipalDep,
        limit: Limit = 20,
        after: After = None,
        order: Order = "desc",
    ) -> Page:
        principal.require(scope)
        with reading(context.sessions) as session:
            rows, has_more = fetch_page(
                session, query(principal.tenant), row_type, limit=limit, after=after, order=order
            )
            shown = show(session, rows)
        last = rows[-1].id if has_more else None
        return Page(data=list(shown), has_more=has_more, next_after=last)

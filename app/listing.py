"""``GET`` on a collection, shared by all kinds of rows."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from sqlalchemy import Select, or_
from sqlalchemy.orm import Session

from app.dependencies import ContextDep, PrincipalDep
from app.keys.scopes import Scope
from app.paging import After, Limit, Order, Page, Row, Search, fetch_page
from app.records.database import reading
from app.records.tables import DatasetRow, ModelRow
from app.tags import TagsWanted, has_tags, has_text

Narrow = Callable[["Select[Any]"], "Select[Any]"]


def _keep_all() -> Narrow:
    return lambda query: query


Statuses = Annotated[
    Sequence[Literal["validating", "ready", "rejected"]],
    Query(alias="status", max_length=3, description="Only rows with one of these statuses."),
]


def narrow_uploads(table: type[ModelRow | DatasetRow]) -> Callable[..., Narrow]:
    """Return a dependency that narrows a list of models or data sets by text, tag and status."""

    def narrow(search: Search = None, tags: TagsWanted = (), statuses: Statuses = ()) -> Narrow:
        def narrowed(query: "Select[Any]") -> "Select[Any]":
            if search is not None:
                named = table.name.icontains(search, autoescape=True)
                query = query.where(or_(named, has_text(table.tags, search)))
            if tags:
                query = query.where(has_tags(table.tags, tags))
            return query.where(table.status.in_(statuses)) if statuses else query

        return narrowed

    return narrow


def add_list(  # noqa: PLR0913  # how one kind of row differs from another
    router: APIRouter,
    row_type: type[Row],
    *,
    name: str,
    description: str,
    scope: Scope,
    query: Callable[[str], "Select[Row]"],
    show: Callable[[Session, Sequence[Row]], Sequence[Any]],
    narrow: Callable[..., Narrow] = _keep_all,
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
        narrow: Dependency with the query parameters of a search; it narrows the query.
    """

    @router.get("", name=name, description=description)
    def list_rows(
        context: ContextDep,
        principal: PrincipalDep,
        narrowed: Annotated[Any, Depends(narrow)],  # noqa: ANN401  # a `Narrow`
        limit: Limit = 20,
        after: After = None,
        order: Order = "desc",
    ) -> Page:
        principal.require(scope)
        with reading(context.sessions) as session:
            rows, has_more = fetch_page(
                session,
                narrowed(query(principal.tenant)),
                row_type,
                limit=limit,
                after=after,
                order=order,
            )
            shown = show(session, rows)
        last = rows[-1].id if has_more else None
        return Page(data=list(shown), has_more=has_more, next_after=last)

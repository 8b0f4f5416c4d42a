"""Lists: newest first, continued after an id."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol, TypeVar

from fastapi import Query
from pydantic import BaseModel
from sqlalchemy import Select
from sqlalchemy.orm import Session

from app.text import Line

Limit = Annotated[int, Query(ge=1, le=100, description="Maximum number of rows to return.")]
After = Annotated[Line | None, Query(max_length=64, description="Return rows after this id.")]
Order = Annotated[Literal["asc", "desc"], Query(description="Order by time of creation.")]

Search = Annotated[
    Line | None,
    Query(
        min_length=1, max_length=100, description="Only rows with this text in their name or a tag."
    ),
]


class HasId(Protocol):
    """A row that can be listed."""

    id: Any


Row = TypeVar("Row", bound=HasId)


class Page(BaseModel):
    """One page of a list."""

    object: Literal["list"] = "list"
    data: list[Any]
    has_more: bool
    next_after: str | None


def fetch_page(
    session: Session,
    query: "Select[Row]",
    row_type: type[Row],
    *,
    limit: int,
    after: str | None,
    order: str,
) -> tuple[Sequence[Row], bool]:
    """Return up to ``limit`` rows after the id ``after``, and whether there are more."""
    column = row_type.id
    is_ascending = order == "asc"
    if after is not None:
        query = query.where(column > after if is_ascending else column < after)
    query = query.order_by(column.asc() if is_ascending else column.desc()).limit(limit + 1)
    rows = session.scalars(query).all()
    return rows[:limit], len(rows) > limit


def to_time(seconds: float | None) -> datetime | None:
    """Return a database time as a UTC datetime."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)

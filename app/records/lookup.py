"""One row of a tenant by id or by name; what belongs to another tenant is not found."""

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import Session

from app.contracts.errors import InvalidInputError, NotFoundError

Row = TypeVar("Row", bound=Any)  # has `tenant`, and may have `deleted_at`

_MOST_SHOWN = 8


def owned(row: Row | None, tenant: str, kind: str, reference: str) -> Row:
    """Return a row if it is the tenant's and not deleted.

    Args:
        row: What was found.
        tenant: Who asks.
        kind: What is asked for, in words.
        reference: What it was asked for by.

    Raises:
        NotFoundError: There is none, or it is somebody else's.
    """
    if row is None or row.tenant != tenant or getattr(row, "deleted_at", None) is not None:
        raise NotFoundError(f"there is no {kind} {reference[:64]!r}")
    return row


def only_one(
    session: Session,
    query: "Select[Row]",
    *,
    several: str,
    show: Callable[[Row], str],
    hint: str,
) -> Row | None:
    """Return the one row of a query, or None.

    Args:
        session: The transaction.
        query: In the order in which the rows are shown.
        several: Begins the message about more than one row.
        show: Returns how one of them can be named.
        hint: Ends the message.

    Raises:
        InvalidInputError: There are several.
    """
    rows = session.scalars(query.limit(_MOST_SHOWN + 1)).all()
    if len(rows) > 1:
        shown = ", ".join(map(show, rows[:_MOST_SHOWN]))
        more = ", …" if len(rows) > _MOST_SHOWN else ""
        raise InvalidInputError(f"{several}: {shown}{more}; {hint}")
    return rows[0] if rows else None

"""Look up a tenant's row by id or name; rows of other tenants are not found."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from app.contracts.errors import DeletedError, InvalidInputError, NotFoundError
from app.contracts.suggestions import suggestion
from app.records.tables import DatasetRow, LatenciesRow, ModelRow

Row = TypeVar("Row", bound=Any)  # has `tenant`, and may have `deleted_at`

_MOST_SHOWN = 8
_MOST_KNOWN = 1000


def owned(
    row: Row | None,
    tenant: str,
    kind: str,
    reference: str,
    known: Callable[[], Iterable[str]] = tuple,
) -> Row:
    """Return a row if it is the tenant's and not deleted.

    Args:
        row: The row, if any.
        tenant: The tenant that asks.
        kind: Kind of resource, for the message.
        reference: Id or name in the request.
        known: Returns valid names, for a suggestion.

    Raises:
        NotFoundError: The row does not exist, is deleted for good, or belongs to another tenant.
        DeletedError: The row is deleted and can be restored: it is removed soon after that time.
    """
    deleted_at = None if row is None else getattr(row, "deleted_at", None)
    if row is not None and row.tenant == tenant and deleted_at:
        raise DeletedError(f"{kind} {row.id} was deleted; `POST …/{row.id}/restore` undoes it")
    if row is None or row.tenant != tenant or deleted_at is not None:
        meant = suggestion(reference.partition("@")[0], known())
        raise NotFoundError(f"there is no {kind} {reference[:64]!r}{meant}")
    return row


def known_names(
    session: Session, table: type[ModelRow | DatasetRow | LatenciesRow], tenant: str
) -> Sequence[str]:
    """Return the names of a tenant's models, data sets or latencies, each once."""
    query = select(table.name).where(table.tenant == tenant, table.deleted_at.is_(None))
    return session.scalars(query.distinct().limit(_MOST_KNOWN)).all()


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
        query: Query in the order in which the message lists the rows.
        several: Start of the message about several rows.
        show: Returns an unambiguous name of a row.
        hint: End of the message.

    Raises:
        InvalidInputError: The query returns several rows.
    """
    rows = session.scalars(query.limit(_MOST_SHOWN + 1)).all()
    if len(rows) > 1:
        shown = ", ".join(map(show, rows[:_MOST_SHOWN]))
        more = ", …" if len(rows) > _MOST_SHOWN else ""
        raise InvalidInputError(f"{several}: {shown}{more}; {hint}")
    return rows[0] if rows else None

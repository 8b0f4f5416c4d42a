"""Deletion that can be undone: the row is hidden, and removed after the time for an undo.

Models, data sets, latencies and jobs share it. `retention` removes rows of deleted jobs, and the
collection of objects the files of the others.
"""

from typing import TypeVar

from sqlalchemy.orm import Session

from app.contracts.errors import NotFoundError
from app.records.database import current_time
from app.records.tables import DatasetRow, JobRow, LatenciesRow, ModelRow

Row = TypeVar("Row", ModelRow, DatasetRow, LatenciesRow, JobRow)


_FOR_GOOD = 0.0  # time of deletion of what cannot be restored: long ago


def hide(
    session: Session,
    row: ModelRow | DatasetRow | LatenciesRow | JobRow,
    *,
    is_permanent: bool = False,
) -> None:
    """Delete a row so that it can be restored, or for good."""
    row.deleted_at = _FOR_GOOD if is_permanent else current_time(session)


def find_deleted(  # who asks for what, and until when
    session: Session,
    table: type[Row],
    tenant: str,
    kind: str,
    object_id: str,
    undo_seconds: float,
) -> Row:
    """Return a tenant's row that may be restored, or that is not deleted at all.

    Args:
        session: The transaction.
        table: Kind of row.
        tenant: The tenant that asks.
        kind: Kind of resource, for the message.
        object_id: Id in the request.
        undo_seconds: Time after the deletion in which it can be undone.

    Raises:
        NotFoundError: There is no such row of the tenant, or it was deleted too long ago.
    """
    row = session.get(table, object_id, with_for_update=True)
    if row is None or row.tenant != tenant:
        raise NotFoundError(f"there is no {kind} {object_id[:64]!r}")
    if row.deleted_at == _FOR_GOOD:
        raise NotFoundError(f"{kind} {object_id[:64]} was deleted for good")
    if row.deleted_at is not None and row.deleted_at <= current_time(session) - undo_seconds:
        raise NotFoundError(
            f"{kind} {object_id[:64]} was deleted more than {undo_seconds / 3600:g} hours ago and "
            "cannot be restored"
        )
    return row

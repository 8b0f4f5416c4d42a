"""Number of queued jobs of each tenant, without counting them.

Triggers of the database (migration 0023) insert a row into ``queued_change`` whenever a job enters
or leaves a queue, in the same transaction. The number is the sum of these rows, so it is exact in
every snapshot, and nobody waits for a counter that another transaction holds. `merge_changes` keeps
the rows few.
"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import delete, func, insert, select, tuple_
from sqlalchemy.orm import Session

from app.contracts.job import JobState
from app.records.tables import JobRow, QueuedChangeRow


class Queued(NamedTuple):
    """The queued jobs of a tenant: how many, and when the last of them was posted."""

    number: int
    newest: float


def count_queued(session: Session, queue: str) -> Mapping[str, Queued]:
    """Return the queued jobs of each tenant that has any."""
    total = func.sum(QueuedChangeRow.change)
    numbers = (
        select(QueuedChangeRow.tenant, total.label("number"))
        .where(QueuedChangeRow.queue == queue)
        .group_by(QueuedChangeRow.tenant)
        .having(total > 0)
        .subquery()
    )
    newest = select(func.max(JobRow.created_at)).where(
        JobRow.queue == queue,
        JobRow.state == JobState.QUEUED,
        JobRow.tenant == numbers.c.tenant,
    )
    rows = session.execute(
        select(numbers.c.tenant, numbers.c.number, newest.scalar_subquery().label("newest"))
    )
    return {row.tenant: Queued(int(row.number), row.newest) for row in rows}


def merge_changes(session: Session) -> None:
    """Replace the changes of each tenant and queue by their sum; concurrent calls are harmless."""
    key = QueuedChangeRow.queue, QueuedChangeRow.tenant
    many = select(*key).group_by(*key).having(func.count() > 1)
    merged = delete(QueuedChangeRow).where(tuple_(*key).in_(many))
    sums = Counter[tuple[str, str]]()
    for queue, tenant, change in session.execute(merged.returning(*key, QueuedChangeRow.change)):
        sums[queue, tenant] += change
    rows = [
        {"queue": q, "tenant": t, "change": number} for (q, t), number in sums.items() if number
    ]
    if rows:
        session.execute(insert(QueuedChangeRow), rows)

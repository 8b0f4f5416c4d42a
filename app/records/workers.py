"""Which workers there are, by their own word: for people who wonder why a job waits.

Nothing is decided by these rows. Leases say who has a job, and the line says who is next.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.records.database import current_time
from app.records.tables import WorkerRow

REPORT_SECONDS = 10.0  # how often a worker says that it is there
PRESENT_SECONDS = 35.0  # a worker that was silent for longer is taken to be gone


@dataclass(frozen=True)
class WorkerIdentity:
    """What a worker says of itself.

    Attributes:
        name: The owner of its leases.
        queues: Whose jobs it takes.
        device: Where it computes.
        num_slots: Jobs at once.
    """

    name: str
    queues: tuple[str, ...]
    device: str
    num_slots: int


def report(session: Session, worker: WorkerIdentity) -> None:
    """Write down that a worker is there."""
    now = current_time(session)
    row = session.get(WorkerRow, worker.name, with_for_update=True)
    if row is None:
        row = WorkerRow(name=worker.name, started_at=now)
        session.add(row)
    row.queues, row.device = list(worker.queues), worker.device
    row.num_slots, row.seen_at = worker.num_slots, now


def leave(session: Session, name: str) -> None:
    """Forget a worker that has ended in good order."""
    session.execute(delete(WorkerRow).where(WorkerRow.name == name))


def forget_absent(session: Session) -> None:
    """Forget the workers that nobody has heard of for long."""
    long_ago = current_time(session) - PRESENT_SECONDS
    session.execute(delete(WorkerRow).where(WorkerRow.seen_at < long_ago))


def list_present(session: Session) -> Sequence[WorkerRow]:
    """Return the workers that are there, the oldest first."""
    long_ago = current_time(session) - PRESENT_SECONDS
    query = select(WorkerRow).where(WorkerRow.seen_at >= long_ago)
    return session.scalars(query.order_by(WorkerRow.started_at, WorkerRow.name)).all()

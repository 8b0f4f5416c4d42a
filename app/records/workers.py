"""The workers' own reports, to show users why a job waits.

These rows decide nothing: leases hold jobs, and the line orders them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.records.database import current_time
from app.records.tables import WorkerRow

REPORT_SECONDS = 10.0  # period of a worker's reports
PRESENT_SECONDS = 35.0  # a worker without a report for longer counts as gone


class Gpu(NamedTuple):
    """One GPU of a worker."""

    uuid: str
    name: str
    memory_bytes: int


@dataclass(frozen=True)
class WorkerIdentity:
    """A worker's description of itself.

    Attributes:
        name: Owner of the worker's leases.
        queues: Queues that it takes jobs from.
        device: Device that it computes on.
        num_slots: Jobs that it runs at the same time.
        trouble: Why it claims no jobs at present; None if it does.
        gpus: GPUs that it computes on.
        targets: Export targets whose packages it has.
    """

    name: str
    queues: tuple[str, ...]
    device: str
    num_slots: int
    trouble: str | None = None
    gpus: tuple[Gpu, ...] = ()
    targets: tuple[str, ...] = ()


def report(session: Session, worker: WorkerIdentity) -> None:
    """Record that a worker is alive."""
    now = current_time(session)
    row = session.get(WorkerRow, worker.name, with_for_update=True)
    if row is None:
        row = WorkerRow(name=worker.name, started_at=now)
        session.add(row)
    row.queues, row.device = list(worker.queues), worker.device
    row.num_slots, row.seen_at, row.trouble = worker.num_slots, now, worker.trouble
    row.gpus = [gpu._asdict() for gpu in worker.gpus]
    row.targets = list(worker.targets)


def note_tick(session: Session, name: str) -> None:
    """Record that the scheduler had a worker run a periodic task."""
    now = current_time(session)
    session.execute(update(WorkerRow).where(WorkerRow.name == name).values(ticked_at=now))


def leave(session: Session, name: str) -> None:
    """Delete a worker that has shut down."""
    session.execute(delete(WorkerRow).where(WorkerRow.name == name))


def forget_absent(session: Session) -> None:
    """Delete workers that have not reported for `PRESENT_SECONDS`."""
    long_ago = current_time(session) - PRESENT_SECONDS
    session.execute(delete(WorkerRow).where(WorkerRow.seen_at < long_ago))


def list_present(session: Session) -> Sequence[WorkerRow]:
    """Return the live workers, oldest first."""
    long_ago = current_time(session) - PRESENT_SECONDS
    query = select(WorkerRow).where(WorkerRow.seen_at >= long_ago)
    return session.scalars(query.order_by(WorkerRow.started_at, WorkerRow.name)).all()


def claiming_queues(session: Session) -> set[str]:
    """Return the queues from which live workers take jobs at present."""
    claiming = (worker for worker in list_present(session) if worker.is_claiming)
    return {queue for worker in claiming for queue in worker.queues}


def find_lacking(session: Session, queue: str, names: Sequence[str]) -> tuple[str, str] | None:
    """Return a worker of a queue and an export target that it lacks; None if there is none.

    Any worker of its queue may claim a job, so every one of them needs the job's targets.
    """
    for worker in list_present(session):
        missing = [name for name in names if name not in worker.targets]
        if worker.is_claiming and queue in worker.queues and missing:
            return worker.public_id, missing[0]
    return None

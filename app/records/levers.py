"""Levers of operators: cordon and drain workers, pause queues.

A cordoned worker claims no job. A drained one also hands back the jobs that it runs, which costs
them no attempt. Both end with the worker's process. A paused queue gives out no jobs until it is
resumed; running jobs continue.
"""

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from app.contracts.errors import NotFoundError
from app.contracts.tasks import QUEUE_CPU, QUEUE_GPU, QUEUE_INTAKE
from app.records.database import current_time
from app.records.tables import QueuePauseRow, WorkerRow
from app.records.workers import list_present

PAUSABLE = (QUEUE_CPU, QUEUE_GPU, QUEUE_INTAKE)


def find_worker(session: Session, name: str) -> WorkerRow:
    """Return a live worker, locked, by its name or its public id.

    Raises:
        NotFoundError: No live worker has this name.
    """
    for worker in list_present(session):
        if name in {worker.name, worker.public_id}:
            return session.get_one(WorkerRow, worker.name, with_for_update=True)
    raise NotFoundError(f"there is no worker {name[:100]!r}")


def cordon(session: Session, name: str) -> WorkerRow:
    """Let a worker claim no more jobs; those that it runs continue."""
    worker = find_worker(session, name)
    worker.cordoned_at = worker.cordoned_at or current_time(session)
    return worker


def drain(session: Session, name: str) -> WorkerRow:
    """Cordon a worker, and have it save its jobs and hand them back."""
    worker = cordon(session, name)
    worker.drained_at = worker.drained_at or current_time(session)
    return worker


def uncordon(session: Session, name: str) -> WorkerRow:
    """Let a cordoned or drained worker claim jobs again."""
    worker = find_worker(session, name)
    worker.cordoned_at = worker.drained_at = None
    return worker


def pause_queue(session: Session, queue: str) -> None:
    """Give out no jobs of a queue until it is resumed.

    Raises:
        NotFoundError: Jobs of users never wait in such a queue.
    """
    _check(queue)
    if session.get(QueuePauseRow, queue, with_for_update=True) is None:
        session.merge(QueuePauseRow(queue=queue, paused_at=current_time(session)))


def resume_queue(session: Session, queue: str) -> None:
    """Give out the jobs of a paused queue again; the next tick of the scheduler rings it.

    Raises:
        NotFoundError: Jobs of users never wait in such a queue.
    """
    _check(queue)
    session.execute(delete(QueuePauseRow).where(QueuePauseRow.queue == queue))


def paused_queues(session: Session) -> dict[str, float]:
    """Return since when each paused queue is paused."""
    rows = session.scalars(select(QueuePauseRow)).all()
    return {row.queue: row.paused_at for row in rows}


def _check(queue: str) -> None:
    if queue not in PAUSABLE:
        raise NotFoundError(
            f"there is no queue {queue[:100]!r}; the queues are {', '.join(PAUSABLE)}"
        )

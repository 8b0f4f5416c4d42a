"""Workers, queues and tenants as operators see them."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.contracts.job import LEASED
from app.contracts.tasks import QUEUES
from app.operators.schemas import (
    OperatedGpu,
    OperatedWorker,
    QueueState,
    Tenant,
    Tenants,
    WorkerStatus,
)
from app.paging import to_time
from app.records import levers
from app.records.database import Sessions, reading
from app.records.tables import JobRow, WorkerRow
from app.records.tenants import list_tenants
from app.records.workers import list_present

WORKER_LEVERS = {
    "cordon": levers.cordon,
    "uncordon": levers.uncordon,
    "drain": levers.drain,
}
QUEUE_LEVERS = {"pause": levers.pause_queue, "resume": levers.resume_queue}


def list_workers(sessions: Sessions) -> list[OperatedWorker]:
    """Return the live workers, oldest first."""
    with reading(sessions) as session:
        running = _running(session)
        return [_to_worker(row, running.get(row.name, 0)) for row in list_present(session)]


def use_worker_lever(sessions: Sessions, lever: str, name: str) -> OperatedWorker:
    """Cordon, uncordon or drain a worker, given its name or its id.

    Raises:
        NotFoundError: No live worker has this name.
    """
    with sessions.begin() as session:
        row = WORKER_LEVERS[lever](session, name)
        return _to_worker(row, _running(session).get(row.name, 0))


def use_queue_lever(sessions: Sessions, lever: str, name: str) -> QueueState:
    """Pause or resume a queue.

    Raises:
        NotFoundError: There is no such queue.
    """
    with sessions.begin() as session:
        QUEUE_LEVERS[lever](session, name)
        session.flush()
        paused_at = levers.paused_queues(session).get(name)
    return QueueState(name=name, paused_at=to_time(paused_at))


def list_queue_states(sessions: Sessions) -> list[QueueState]:
    """Return the queues that can be paused."""
    with reading(sessions) as session:
        paused = levers.paused_queues(session)
    return [QueueState(name=name, paused_at=to_time(paused.get(name))) for name in levers.PAUSABLE]


def page_of_tenants(sessions: Sessions, after: str, limit: int, undo_seconds: float) -> Tenants:
    """Return a page of tenants, by name. Deleted uploads count for ``undo_seconds``."""
    with reading(sessions) as session:
        found = list_tenants(session, after=after, limit=limit + 1, undo_seconds=undo_seconds)
    data = [
        Tenant(
            id=use.tenant,
            num_keys=use.num_keys,
            num_waiting=use.num_waiting,
            num_running=use.num_running,
            stored_bytes=use.stored_bytes,
            compute_seconds=use.compute_seconds,
        )
        for use in found[:limit]
    ]
    has_more = len(found) > limit
    return Tenants(data=data, has_more=has_more, next_after=data[-1].id if has_more else None)


def _to_worker(row: WorkerRow, num_running: int) -> OperatedWorker:
    return OperatedWorker(
        id=row.public_id,
        name=row.name,
        queues=row.queues,
        device=row.device,
        gpus=[OperatedGpu.model_validate(gpu) for gpu in row.gpus],
        status=_status(row),
        trouble=row.trouble,
        num_slots=row.num_slots,
        num_running=num_running,
        started_at=to_time(row.started_at),
        seen_at=to_time(row.seen_at),
    )


def _status(row: WorkerRow) -> WorkerStatus:
    if row.drained_at is not None:
        return "draining"
    if row.cordoned_at is not None:
        return "cordoned"
    return "active" if row.trouble is None else "resting"


def _running(session: Session) -> dict[str | None, int]:
    query = (
        select(JobRow.lease_owner, func.count().label("number"))
        .where(JobRow.queue.in_(QUEUES), JobRow.state.in_(LEASED))
        .group_by(JobRow.lease_owner)
    )
    return {row.lease_owner: row.number for row in session.execute(query)}

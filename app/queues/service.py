"""Queues and workers, derived from the rows of jobs and workers."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.contracts.job import LEASED, JobKind, JobState
from app.contracts.tasks import QUEUE_CPU, QUEUE_GPU, QUEUE_INTAKE, queue_of
from app.dependencies import Context
from app.paging import to_time
from app.queues.schemas import Gpu, JobInLine, Queue, Worker
from app.records.database import reading
from app.records.line import Line
from app.records.tables import JobRow, QueuePauseRow, WorkerRow, public_worker_id
from app.records.workers import list_present

_NAMES = (QUEUE_CPU, QUEUE_GPU, QUEUE_INTAKE)
_MOST_JOBS = 100


def list_queues(context: Context, tenant: str) -> list[Queue]:
    """Return the queues that have jobs or workers, or would receive a new job."""
    expected = {QUEUE_INTAKE, queue_of(JobKind.PRUNE, context.settings.worker.device)}
    with reading(context.sessions) as session:
        workers = list_present(session)
        found = []
        for name in _NAMES:
            line = context.lines.line(name, session)
            own = [worker for worker in workers if name in worker.queues]
            if name in expected or own or line.length or line.num_running:
                found.append(_queue(session, name, tenant, line, own))
    return found


def _queue(
    session: Session, name: str, tenant: str, line: Line, workers: Sequence[WorkerRow]
) -> Queue:
    query = (
        select(JobRow.lease_owner, func.count().label("number"))
        .where(JobRow.queue == name, JobRow.state.in_(LEASED))
        .group_by(JobRow.lease_owner)
    )
    running = {row.lease_owner: row.number for row in session.execute(query)}
    return Queue(
        name=name,
        is_paused=session.get(QueuePauseRow, name) is not None,
        num_waiting=line.length,
        num_running=line.num_running,
        seconds_a_job=None if line.seconds_a_job is None else round(line.seconds_a_job, 1),
        workers=[
            Worker(
                id=row.public_id,
                device=row.device,
                gpus=[Gpu.model_validate(gpu) for gpu in row.gpus],
                num_slots=row.num_slots,
                num_running=running.get(row.name, 0),
                started_at=to_time(row.started_at),
                seen_at=to_time(row.seen_at),
                is_cordoned=row.cordoned_at is not None,
            )
            for row in workers
        ],
        jobs=_jobs(session, name, tenant, line),
    )


def _jobs(session: Session, name: str, tenant: str, line: Line) -> list[JobInLine]:
    states = (*sorted(LEASED), JobState.QUEUED)
    rows = session.execute(
        select(JobRow.id, JobRow.state, JobRow.lease_owner, JobRow.tenant, JobRow.created_at)
        .where(
            JobRow.queue == name,
            JobRow.state.in_(states),
            JobRow.tenant == tenant,
            JobRow.kind == JobKind.PRUNE,
        )
        .order_by(JobRow.state == JobState.QUEUED, JobRow.created_at, JobRow.id)
        .limit(_MOST_JOBS)
    ).all()
    return [
        JobInLine(
            id=row.id,
            status=row.state,
            position=line.position(row) if row.state == JobState.QUEUED else None,
            worker=None if row.lease_owner is None else public_worker_id(row.lease_owner),
        )
        for row in rows
    ]

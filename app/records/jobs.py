"""The queue side of a job: cancel, pause, end, release and ring; `creation` creates it.

`leases` holds what a worker does under its lease. Each function runs in the caller's transaction.
It locks the rows (PostgreSQL) or the database (SQLite) before it reads their state.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, or_, select
from sqlalchemy.orm import Session

from app.contracts.errors import ConflictError, NotFoundError
from app.contracts.job import FAILURES, LEASED, MOVES, FailureCode, JobKind, JobState, Stage
from app.contracts.tasks import QUEUES
from app.records.creation import (
    READY,
    REJECTED,
    NewJob,
    SweepPlace,
    are_inputs_ready,
    create_job,
)
from app.records.database import current_time
from app.records.events import add_events
from app.records.rings import note_ring
from app.records.stranded import move_stranded
from app.records.sweeps import train_chosen
from app.records.tables import DatasetRow, EventRow, JobRow, ModelRow, QueuePauseRow
from app.records.usage import add_compute
from app.records.workers import list_present

__all__ = [
    "READY",
    "REJECTED",
    "NewJob",
    "SweepPlace",
    "create_job",
    "expire_overdue",
    "fail_locked",
    "forget_plans",
    "get_job",
    "move",
    "reject_inputs",
    "release_waiting",
    "request_cancel",
    "request_pause",
    "resume",
    "retry",
    "ring_again",
]


def get_job(session: Session, job_id: str) -> JobRow:
    """Return a job, locked until the transaction ends.

    Raises:
        NotFoundError: No job has this id.
    """
    query = select(JobRow).where(JobRow.id == job_id).with_for_update()
    job = session.scalars(query.execution_options(populate_existing=True)).one_or_none()
    if job is None:
        raise NotFoundError(f"there is no job {job_id}")
    return job


def move(
    session: Session, job: JobRow, state: JobState, data: dict[str, Any] | None = None
) -> None:
    """Change the state of a locked job, and write the matching timestamps and event.

    Raises:
        ConflictError: The state machine does not allow the transition.
    """
    if state not in MOVES[JobState(job.state)]:
        raise ConflictError(f"job {job.id} is {job.state} and cannot become {state}")
    job.state = state
    now = current_time(session)
    if state is JobState.QUEUED:
        job.queued_at = now
    elif state is JobState.RUNNING:
        job.started_at, job.claimed_at = job.started_at or now, now
    elif state is JobState.PAUSED:
        job.paused_at = now
    elif state.is_final:
        job.finished_at = now
    if state not in LEASED:
        if job.claimed_at is not None:
            job.seconds_run += max(0.0, now - job.claimed_at)
            add_compute(session, job.tenant, job.claimed_at, now)
        job.lease_owner, job.lease_expires_at, job.claimed_at = None, None, None
    add_events(session, job, [(f"job.{state}", data or {})])
    if state.is_final and job.sweep_id is not None:
        train_chosen(session, job)


def forget_plans(session: Session, ids: Sequence[str] = (), older_than_seconds: float = 0) -> None:
    """Delete finished plan jobs and their events: the given ids, or all past the age."""
    final = [state for state in JobState if state.is_final]
    query = select(JobRow.id).where(JobRow.kind == JobKind.PLAN, JobRow.state.in_(final))
    if ids:
        query = query.where(JobRow.id.in_(ids))
    else:
        query = query.where(JobRow.finished_at < current_time(session) - older_than_seconds)
    found = session.scalars(query).all()
    session.execute(delete(EventRow).where(EventRow.job_id.in_(found)))
    session.execute(delete(JobRow).where(JobRow.id.in_(found)))


def request_cancel(session: Session, job_id: str) -> JobRow:
    """Cancel a job: at once if no worker holds it, else when its worker notices.

    Raises:
        ConflictError: The job has already ended.
    """
    job = get_job(session, job_id)
    state = JobState(job.state)
    if state is JobState.CANCELLING:
        return job
    if state.is_final:
        raise ConflictError(f"job {job.id} has ended: it is {state}")
    job.cancel_requested_at = current_time(session)
    is_held = JobState.CANCELLING in MOVES[state]
    move(session, job, JobState.CANCELLING if is_held else JobState.CANCELLED)
    return job


def request_pause(session: Session, job_id: str) -> JobRow:
    """Pause a job: at once if no worker holds it, else once its worker has saved it.

    Raises:
        ConflictError: The job has ended, is being cancelled, or waits for its inputs.
    """
    job = get_job(session, job_id)
    state = JobState(job.state)
    if state in {JobState.PAUSING, JobState.PAUSED}:
        return job
    job.pause_requested_at = current_time(session)
    move(session, job, JobState.PAUSING if state is JobState.RUNNING else JobState.PAUSED)
    return job


def resume(session: Session, job_id: str) -> JobRow:
    """Queue a paused job again; it continues from its checkpoint.

    Raises:
        ConflictError: The job is not paused.
    """
    job = get_job(session, job_id)
    if job.state != JobState.PAUSED:
        raise ConflictError(f"job {job.id} is {job.state}; only a paused job can be resumed")
    move(session, job, JobState.QUEUED, {"reason": "resumed"})
    note_ring(session, job.id, job.queue)
    return job


def retry(session: Session, job_id: str) -> JobRow:
    """Queue a failed job again, with all its attempts; it continues from its checkpoint, if any.

    Raises:
        ConflictError: The job has not failed, or its model or data set was rejected or deleted.
    """
    job = get_job(session, job_id)
    if job.state != JobState.FAILED:
        raise ConflictError(f"job {job.id} is {job.state}; only a failed job can be tried again")
    _refuse_without_inputs(session, job)
    job.attempt = job.num_setbacks = 0
    job.seconds_run, job.batch_divisor = 0.0, 1
    job.error, job.avoided_owners, job.not_before, job.finished_at = None, None, None, None
    move(session, job, JobState.QUEUED, {"reason": "tried again"})
    note_ring(session, job.id, job.queue)
    return job


def _refuse_without_inputs(session: Session, job: JobRow) -> None:
    """Raise `ConflictError` if a job's model or data set was rejected or deleted."""
    model = dataset = None
    if job.model_id is not None:
        model = session.get(ModelRow, job.model_id, with_for_update={"read": True})
    if job.dataset_id is not None:
        dataset = session.get(DatasetRow, job.dataset_id, with_for_update={"read": True})
    for row in (model, dataset):
        if row is not None and (row.deleted_at is not None or row.status != READY):
            state = row.status if row.deleted_at is None else "deleted"
            raise ConflictError(f"{row.id}, which job {job.id} needs, is {state}: post a new job")


def expire_overdue(session: Session) -> list[str]:
    """Expire jobs that did not start by their deadline; return their ids."""
    overdue = session.scalars(
        select(JobRow)
        .where(
            JobRow.state.in_([JobState.VALIDATING, JobState.QUEUED]),
            JobRow.started_at.is_(None),
            JobRow.expires_at < current_time(session),
        )
        .with_for_update(skip_locked=True)
    ).all()
    for job in overdue:
        move(session, job, JobState.EXPIRED)
    return [job.id for job in overdue]


def fail_locked(  # one argument per part of the public error
    session: Session,
    job: JobRow,
    code: FailureCode,
    message: str,
    stage: Stage | None,
    hint: str = "",
) -> None:
    """Fail a locked job with a public error, and fail the jobs that wait for it.

    ``hint`` says what to do about this cause; if empty, the hint of ``code`` is used.
    """
    failure = FAILURES[code]
    job.error = {
        "code": code,
        "message": message,
        "stage": stage,
        "retryable": failure.is_retryable,
        "hint": hint or failure.hint,
    }
    move(session, job, JobState.FAILED, {"code": code, "message": message})
    reject_inputs(session, job)


def reject_inputs(session: Session, job: JobRow) -> None:
    """Reject the model or data set of a failed intake, and fail the jobs that wait for it."""
    row: ModelRow | DatasetRow | None = None
    if job.kind == JobKind.INTAKE_MODEL:
        row = session.get(ModelRow, job.model_id)
    elif job.kind == JobKind.INTAKE_DATASET:
        row = session.get(DatasetRow, job.dataset_id)
    if row is not None:
        row.status, row.error = REJECTED, job.error
        release_waiting(session, row)


def release_waiting(session: Session, row: ModelRow | DatasetRow) -> None:
    """Queue the jobs that waited for a model or data set, or fail them if it was rejected."""
    column = JobRow.model_id if isinstance(row, ModelRow) else JobRow.dataset_id
    session.flush()
    query = (
        select(JobRow)
        .where(column == row.id, JobRow.state == JobState.VALIDATING)
        .with_for_update()
    )
    for job in session.scalars(query):
        if row.status == REJECTED:
            is_model = isinstance(row, ModelRow)
            code = FailureCode.MODEL_REJECTED if is_model else FailureCode.DATA_ERROR
            error = row.error or {}
            message = str(error.get("message", FAILURES[code].message))
            fail_locked(session, job, code, message, Stage.INTAKE, str(error.get("hint", "")))
        elif are_inputs_ready(session, job.model_id, job.dataset_id):
            move(session, job, JobState.QUEUED)
            note_ring(session, job.id, job.queue)


def ring_again(session: Session) -> None:
    """Ring every queue in which a job is due: once, or once for each idle slot of its workers."""
    move_stranded(session)
    is_due = or_(JobRow.not_before.is_(None), JobRow.not_before <= current_time(session))
    present = [worker for worker in list_present(session) if worker.is_claiming]
    paused = set(session.scalars(select(QueuePauseRow.queue)))
    for queue in set(QUEUES) - paused:
        here = JobRow.queue == queue
        num_running = session.scalars(
            select(func.count()).where(here, JobRow.state.in_(LEASED))
        ).one()
        num_slots = sum(worker.num_slots for worker in present if queue in worker.queues)
        due = select(JobRow.id).where(here, JobRow.state == JobState.QUEUED, is_due)
        for job_id in session.scalars(due.limit(max(1, num_slots - num_running))):
            note_ring(session, job_id, queue)

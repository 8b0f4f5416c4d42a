"""New jobs. Apart from `jobs`, because the end of a job may create others (`sweeps`)."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.contracts.ids import new_id
from app.contracts.job import JobKind, JobState
from app.contracts.tasks import queue_of
from app.records.database import current_time
from app.records.events import add_events
from app.records.rings import note_ring
from app.records.tables import DatasetRow, JobRow, ModelRow
from app.telemetry.tracing import current_request_id, current_trace_id, note_job

READY, REJECTED = "ready", "rejected"


@dataclass(frozen=True)
class SweepPlace:
    """Position of a job in a sweep: its grid index, and its values by JSON pointer."""

    sweep_id: str
    index: int
    values: dict[str, Any]


@dataclass(frozen=True)
class NewJob:
    """Values of a new job row.

    Attributes:
        tenant: Owner of the job.
        kind: Kind of work.
        config: Configuration as the user sent it.
        resolved: Configuration with every default filled in.
        device: Device the service prunes on; determines the queue.
        max_attempts: Maximum number of attempts.
        model_id: Input model.
        dataset_id: Input data set.
        name: The user's name for it.
        tags: The user's tags.
        goal: The goal that the config stands for.
        metadata: The user's own metadata.
        warnings: Warnings known at creation.
        place: Position in a sweep, if the job is part of one.
        start_within_seconds: The job expires if it has not started within this time.
        time_limit_seconds: Maximum running time, over all attempts.
        webhook: Notification target: ``url``, ``secret`` and ``events``.
    """

    tenant: str
    kind: JobKind
    config: dict[str, Any]
    resolved: dict[str, Any]
    device: str
    max_attempts: int
    model_id: str | None = None
    dataset_id: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    goal: str | None = None
    metadata: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    place: SweepPlace | None = None
    start_within_seconds: float | None = None
    time_limit_seconds: float | None = None
    webhook: dict[str, Any] | None = None


def create_job(session: Session, new: NewJob) -> JobRow:
    """Insert a job as ``queued``, or as ``validating`` until its model and data set are ready."""
    now = current_time(session)
    # Lock: an intake that ends between this read and our commit would not release the job.
    is_waiting = new.kind in {JobKind.PRUNE, JobKind.PLAN} and not are_inputs_ready(
        session, new.model_id, new.dataset_id, is_locking=True
    )
    state = JobState.VALIDATING if is_waiting else JobState.QUEUED
    job = JobRow(
        id=new_id("job"),
        tenant=new.tenant,
        kind=new.kind,
        queue=queue_of(new.kind, new.device),
        state=state,
        stage=None,
        progress=None,
        model_id=new.model_id,
        dataset_id=new.dataset_id,
        sweep_id=new.place.sweep_id if new.place is not None else None,
        sweep_index=new.place.index if new.place is not None else None,
        sweep_point=new.place.values if new.place is not None else None,
        name=new.name,
        tags=list(new.tags),
        goal=new.goal,
        config=new.config,
        resolved=new.resolved,
        result=None,
        error=None,
        warnings=list(new.warnings),
        meta=new.metadata or {},
        attempt=0,
        max_attempts=new.max_attempts,
        num_setbacks=0,
        avoided_owners=None,
        lease_owner=None,
        lease_token=0,
        lease_expires_at=None,
        num_events=0,
        reported_bytes=0,
        not_before=None,
        rung_at=None,
        expires_at=None if new.start_within_seconds is None else now + new.start_within_seconds,
        time_limit_seconds=new.time_limit_seconds,
        claimed_at=None,
        seconds_run=0.0,
        batch_divisor=1,
        checkpoint=None,
        webhook=new.webhook,
        trace_id=current_trace_id(),
        request_id=current_request_id(),
        created_at=now,
        queued_at=None if is_waiting else now,
        started_at=None,
        pause_requested_at=None,
        paused_at=None,
        cancel_requested_at=None,
        finished_at=None,
        deleted_at=None,
    )
    note_job(job.id)
    session.add(job)
    session.flush()  # events have a foreign key to it
    add_events(session, job, [(f"job.{state}", {})])
    if not is_waiting:
        note_ring(session, job.id, job.queue)
    return job


def are_inputs_ready(
    session: Session, model_id: str | None, dataset_id: str | None, *, is_locking: bool = False
) -> bool:
    """Return whether intake has accepted a job's model and data set."""
    lock = {"read": True} if is_locking else None  # shared: allows creating other jobs meanwhile
    model = dataset = None
    if model_id is not None:
        model = session.get(ModelRow, model_id, with_for_update=lock)
    if dataset_id is not None:
        dataset = session.get(DatasetRow, dataset_id, with_for_update=lock)
    return all(row is None or row.status == READY for row in (model, dataset))

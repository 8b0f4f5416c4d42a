"""Move jobs that may run anywhere off the GPU's queue when it has no worker left."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.contracts.job import JobKind, JobState
from app.contracts.resources_spec import FALLBACK
from app.contracts.tasks import QUEUE_CPU, QUEUE_GPU
from app.records.database import current_time
from app.records.tables import JobRow
from app.records.workers import PRESENT_SECONDS, claiming_queues

_MOST_JOBS = 100  # at a time; the search is repeated every few seconds


def move_stranded(session: Session) -> None:
    """Move jobs from the GPU's queue to the CPU's if only the latter has workers that take jobs.

    Jobs that ask for a GPU wait on. A worker that rests for a few seconds is waited for, too.
    """
    there = claiming_queues(session)
    if QUEUE_GPU in there or QUEUE_CPU not in there:
        return
    waiting = select(JobRow).where(
        JobRow.queue == QUEUE_GPU,
        JobRow.kind == JobKind.PRUNE,
        JobRow.state == JobState.QUEUED,
        JobRow.queued_at < current_time(session) - PRESENT_SECONDS,
    )
    rows = session.scalars(
        waiting.order_by(JobRow.queued_at).limit(_MOST_JOBS).with_for_update(skip_locked=True)
    )
    for job in rows:
        resources = (job.resolved or {}).get("resources") or {}
        if resources.get("accelerator", "auto") == "auto":
            job.queue, job.warnings = QUEUE_CPU, [*job.warnings, FALLBACK]
    session.flush()

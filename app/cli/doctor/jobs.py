"""Job checks: workers and queues that give no jobs, leases and webhooks that wait too long."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.cli.doctor.finding import Finding, Status
from app.contracts.job import JobState
from app.contracts.settings import Settings
from app.contracts.tasks import QUEUE_MAINTENANCE, QUEUES
from app.records.backlog import find_backlog
from app.records.database import create_database, create_sessions, current_time, reading
from app.records.levers import paused_queues
from app.records.reaping import list_expired
from app.records.tables import JobRow
from app.records.workers import list_present

_WORKERS, _QUEUES, _LEASES, _WEBHOOKS = "workers", "queues", "leases", "webhooks"
_SCHEDULER = "scheduler"
_LATE_SECONDS = 60.0  # a lease that expired is revoked within seconds


def check_jobs(settings: Settings) -> Iterator[Finding]:
    """Check the workers' own reports and the leases, if there is a current database."""
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return
    engine = create_database(settings.database_url)
    try:
        with reading(create_sessions(engine)) as session:
            findings = [
                *_check_workers(session),
                *_check_queues(session),
                *_check_leases(session),
                *_check_webhooks(session),
            ]
    except SQLAlchemyError:
        return  # the check of the database says why
    finally:
        engine.dispose()
    yield from findings


def _check_workers(session: Session) -> Iterator[Finding]:
    present = list_present(session)
    for worker in present:
        if worker.trouble is not None:
            detail = f"{worker.name} takes no jobs: {worker.trouble}"
            advice = "it tries again by itself; for its packages, run secateur doctor there"
            yield Finding(_WORKERS, Status.FAIL, detail, advice)
        elif worker.cordoned_at is not None:
            detail = f"{worker.name} takes no jobs: an operator cordoned it"
            advice = f"secateur workers uncordon {worker.public_id}"
            yield Finding(_WORKERS, Status.NOTE, detail, advice)
    served = {queue for worker in present for queue in worker.queues}
    if present and QUEUE_MAINTENANCE not in served:
        detail = "no worker serves the queue maintenance: webhooks and expired leases wait"
        advice = f"start a worker with -Q {QUEUE_MAINTENANCE}"
        yield Finding(_WORKERS, Status.FAIL, detail, advice)
    late = current_time(session) - _LATE_SECONDS
    ticking = [worker for worker in present if QUEUE_MAINTENANCE in worker.queues]
    if ticking and all((worker.ticked_at or worker.started_at) < late for worker in ticking):
        detail = "the scheduler has started no task for a minute"
        yield Finding(_SCHEDULER, Status.FAIL, detail, "start celery beat; secateur serve has it")
    elif any(worker.ticked_at is not None and worker.ticked_at >= late for worker in ticking):
        yield Finding(_SCHEDULER, Status.OK, "starts its tasks")
    waiting = session.execute(
        select(JobRow.queue, func.count().label("number"))
        .where(JobRow.state == JobState.QUEUED, JobRow.queued_at < late)
        .group_by(JobRow.queue)
    ).all()
    for row in waiting:
        if row.queue in QUEUES and row.queue not in served:
            detail = f"{row.number} jobs wait in the queue {row.queue}, which no worker serves"
            advice = f"start a worker with -Q {row.queue}"
            yield Finding(_WORKERS, Status.FAIL, detail, advice)
    num_fit = sum(worker.is_claiming for worker in present)
    if present and num_fit:
        yield Finding(_WORKERS, Status.OK, f"{num_fit} take jobs")


def _check_queues(session: Session) -> Iterator[Finding]:
    for queue, since in paused_queues(session).items():
        seconds = current_time(session) - since
        detail = f"{queue} has been paused by an operator for {seconds:.0f} s"
        yield Finding(_QUEUES, Status.NOTE, detail, f"secateur queues resume {queue}")


def _check_webhooks(session: Session) -> Iterator[Finding]:
    backlog = find_backlog(session)
    if backlog.oldest_webhook_seconds > _LATE_SECONDS:
        detail = (
            f"{backlog.num_due_webhooks} deliveries are due, "
            f"the oldest for {backlog.oldest_webhook_seconds:.0f} s"
        )
        advice = "start the scheduler and a worker of the queue maintenance"
        yield Finding(_WEBHOOKS, Status.FAIL, detail, advice)


def _check_leases(session: Session) -> Iterator[Finding]:
    stuck = [lease for lease in list_expired(session) if lease.seconds > _LATE_SECONDS]
    if stuck:
        oldest = stuck[0]
        detail = (
            f"{len(stuck)} jobs have leases that expired up to {oldest.seconds:.0f} s ago: "
            f"{oldest.job_id}"
        )
        advice = (
            "start the scheduler and a worker of the queue maintenance; if they run, their log "
            "shows job.leases_locked, and pg_stat_activity the transaction that holds the row"
        )
        yield Finding(_LEASES, Status.FAIL, detail, advice)
    else:
        yield Finding(_LEASES, Status.OK, "none has expired")

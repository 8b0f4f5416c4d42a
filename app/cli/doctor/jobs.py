"""Job checks: workers that take no jobs, and leases that nobody renews or revokes."""

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.cli.doctor.finding import Finding, Status
from app.contracts.job import JobState
from app.contracts.settings import Settings
from app.contracts.tasks import QUEUES
from app.records.database import create_database, create_sessions, current_time, reading
from app.records.reaping import list_expired
from app.records.tables import JobRow
from app.records.workers import list_present

_WORKERS, _LEASES = "workers", "leases"
_LATE_SECONDS = 60.0  # a lease that expired is revoked within seconds


def check_jobs(settings: Settings) -> Iterator[Finding]:
    """Check the workers' own reports and the leases, if there is a current database."""
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").exists():
        return
    engine = create_database(settings.database_url)
    try:
        with reading(create_sessions(engine)) as session:
            findings = [*_check_workers(session), *_check_leases(session)]
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
    late = current_time(session) - _LATE_SECONDS
    waiting = session.execute(
        select(JobRow.queue, func.count().label("number"))
        .where(JobRow.state == JobState.QUEUED, JobRow.queued_at < late)
        .group_by(JobRow.queue)
    ).all()
    served = {queue for worker in present for queue in worker.queues}
    for row in waiting:
        if row.queue in QUEUES and row.queue not in served:
            detail = f"{row.number} jobs wait in the queue {row.queue}, which no worker serves"
            advice = f"start a worker with -Q {row.queue}"
            yield Finding(_WORKERS, Status.FAIL, detail, advice)
    num_fit = sum(worker.trouble is None for worker in present)
    if present and num_fit:
        yield Finding(_WORKERS, Status.OK, f"{num_fit} take jobs")


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

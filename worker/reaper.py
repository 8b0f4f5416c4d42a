"""The periodic task that takes jobs from workers that have vanished, and keeps tables small."""

import threading

import structlog
from sqlalchemy.orm import Session

from app.contracts.settings import WorkerSettings
from app.records import jobs, reaping, workers
from app.records.clock import pull_back_times
from app.records.database import Sessions, current_time
from app.records.queued import merge_changes
from app.records.reaping import ExpiredLease
from worker.metrics import WorkerMetrics

log = structlog.get_logger(__name__)

_PLAN_SECONDS = 3600.0  # a plan that nobody fetched is deleted after this
_CONNECT_SECONDS = 5.0  # longest time to notice that the database is back


class Reaper:
    """Revokes expired leases, and removes what is overdue.

    While the database is away, no worker can renew its lease. So after an outage, which shows in a
    gap between two runs, workers first get the time to renew. The same holds if the database's
    clock jumps.

    Args:
        sessions: Factory of database sessions.
        worker: Lengths of leases and their intervals.
        metrics: Metrics of this worker.
        owner: Name of this worker.
    """

    def __init__(
        self,
        sessions: Sessions,
        worker: WorkerSettings,
        metrics: WorkerMetrics | None = None,
        owner: str = "",
    ) -> None:
        self._sessions, self._worker = sessions, worker
        self._metrics, self._owner = metrics or WorkerMetrics(), owner
        self._grace_seconds = 2 * worker.heartbeat_seconds + _CONNECT_SECONDS
        self._gap_seconds = max(worker.lease_seconds / 2, 3 * worker.reap_seconds)
        self._lock = threading.Lock()
        self._ran_at: float | None = None
        self._spared_until: dict[tuple[str, int], float] = {}

    def reap(self) -> None:
        """Reclaim expired leases, expire overdue jobs, delete old plans and absent workers."""
        if not self._lock.acquire(blocking=False):
            return  # the last run waits for the database
        try:
            self._reap()
        finally:
            self._lock.release()

    def _reap(self) -> None:
        with self._sessions.begin() as session:
            now = current_time(session)
            num_late = pull_back_times(session, lease_seconds=self._worker.lease_seconds)
            spared = self._spare(reaping.list_expired(session), now)
            reaped = reaping.reap_expired(
                session, spared=spared, most_setbacks=self._worker.max_setbacks
            )
            stuck = _find_stuck(session, {*reaped, *spared})
            jobs.expire_overdue(session)
            jobs.forget_plans(session, older_than_seconds=_PLAN_SECONDS)
            workers.forget_absent(session)
            workers.note_tick(session, self._owner)
            merge_changes(session)
        self._ran_at = now
        if num_late:
            log.warning("reaper.clock_set_back", num_times=num_late)
        self._metrics.reaped_leases.inc(len(reaped))
        self._metrics.stuck_leases.set(len(stuck))
        for job_id in reaped:
            log.warning("job.lease_expired", job_id=job_id)
        if stuck:
            log.warning(
                "job.leases_locked",
                num_jobs=len(stuck),
                oldest_job=stuck[0].job_id,
                oldest_seconds=round(stuck[0].seconds, 1),
            )

    def _spare(self, expired: list[ExpiredLease], now: float) -> list[str]:
        """Return the jobs whose workers still have time to renew the lease."""
        is_after_gap = self._ran_at is None or not 0 <= now - self._ran_at <= self._gap_seconds
        end = now + self._grace_seconds if is_after_gap else now
        known = self._spared_until
        keys = [(lease.job_id, lease.token) for lease in expired]
        self._spared_until = {
            key: min(known.get(key, end), now + self._grace_seconds) for key in keys
        }
        return [job_id for (job_id, _), until in self._spared_until.items() if until > now]


def _find_stuck(session: Session, others: set[str]) -> list[ExpiredLease]:
    """Return the expired leases that could not be revoked: another transaction holds the row."""
    session.flush()
    return [lease for lease in reaping.list_expired(session) if lease.job_id not in others]

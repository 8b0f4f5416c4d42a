"""Quotas of tenants: limits, current use and refusals.

Bytes, jobs and compute time are counted from rows in the transaction that adds to them, with the
tenant locked (`records.usage`), so two requests cannot take the last slot. Each API process counts
requests, uploads, waits and event streams on its own. `records.line` limits running jobs.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy.orm import Session

from app.contracts.errors import (
    ComputeQuotaError,
    RateLimitedError,
    StorageQuotaError,
    TooManyJobsError,
    TooManyRequestsError,
    TooManyStreamsError,
    TooManyUploadsError,
)
from app.contracts.settings import QuotaSettings
from app.quotas.incoming import HOW_TO_FREE, Incoming
from app.quotas.rates import Rates
from app.quotas.slots import Slots
from app.records import usage
from app.records.database import Sessions, reading

_JOBS_RETRY_SECONDS = 30.0


@dataclass(frozen=True)
class Use:
    """Limit and current use of one quota.

    Attributes:
        limit: The tenant's limit.
        used: Current use.
        counted_by: The whole service, or the API process that answers.
        frees_at: When the count resets, in database time; None if it does not reset.
    """

    limit: float
    used: float
    counted_by: Literal["service", "process"] = "service"
    frees_at: float | None = None


class Quotas:
    """The quotas of every tenant at this API process."""

    def __init__(
        self, settings: QuotaSettings, sessions: Sessions, undo_seconds: float = 0
    ) -> None:
        """Start with nothing in use.

        Args:
            settings: The quotas.
            sessions: The database.
            undo_seconds: Time for which the files of deleted uploads are kept, and count.
        """
        self._settings, self._sessions = settings, sessions
        self._undo_seconds = undo_seconds
        self._rates = Rates(settings.requests_per_second)
        self._uploads = Slots(settings.uploads, _too_many_uploads)
        self._streams = Slots(settings.event_streams, _too_many_streams)
        self._waiting = Slots(settings.waiting_requests, _too_many_waiting)
        self.incoming = Incoming(settings, sessions, undo_seconds)

    def admit(self, tenant: str) -> None:
        """Count a request.

        Raises:
            RateLimitedError: The tenant exceeded its requests per second.
        """
        seconds = self._rates.take(tenant)
        if seconds > 0:
            raise RateLimitedError(
                f"the tenant is over its limit of {self._settings.requests_per_second} requests "
                f"per second; try again in {seconds:.3f} s",
                retry_after_seconds=seconds,
            )

    def upload(self, tenant: str) -> AbstractContextManager[None]:
        """Hold a slot for an upload; entering raises `TooManyUploadsError` if all are held."""
        return self._uploads.hold(tenant)

    def stream(self, tenant: str) -> AbstractContextManager[None]:
        """Hold a slot for a stream; entering raises `TooManyStreamsError` if all are held."""
        return self._streams.hold(tenant)

    def waiting(self, tenant: str) -> AbstractContextManager[None]:
        """Hold a slot for a wait; entering raises `TooManyRequestsError` if all are held."""
        return self._waiting.hold(tenant)

    def refuse_upload(self, session: Session, tenant: str, num_bytes: int) -> None:
        """Check the quotas for a file to be stored and its intake job.

        Raises:
            StorageQuotaError: The bytes exceed the storage quota.
            TooManyJobsError: The tenant's job queue is full.
        """
        usage.hold_tenant(session, tenant)
        self._refuse_bytes(session, tenant, num_bytes)
        self._refuse_waiting(session, tenant, 1)

    def refuse_job_early(self, tenant: str) -> None:
        """Raise `TooManyJobsError` if the tenant's job queue is full, before an upload is read."""
        with reading(self._sessions) as session:
            self._refuse_waiting(session, tenant, 1)

    def refuse_jobs(self, session: Session, tenant: str, number: int = 1) -> None:
        """Check the quotas for jobs to be created.

        Raises:
            StorageQuotaError: The jobs' artifacts would exceed the storage quota.
            ComputeQuotaError: The day's compute time is used up.
            TooManyJobsError: The tenant's job queue is full.
        """
        usage.hold_tenant(session, tenant)
        self._refuse_bytes(session, tenant, 1)
        limit = self._settings.compute_seconds
        used = usage.compute_seconds(session, tenant).get(tenant, 0.0)
        if used >= limit:
            end = datetime.fromtimestamp(usage.next_midnight(session), UTC)
            raise ComputeQuotaError(
                f"today's jobs have used {used:.0f} of {limit:g} compute seconds; the quota resets "
                f"at {end:%Y-%m-%dT%H:%M:%SZ}"
            )
        self._refuse_waiting(session, tenant, number)

    def read(self, tenant: str) -> dict[str, Use]:
        """Return every quota and its current use by the name of its setting."""
        most = self._settings
        with reading(self._sessions) as session:
            compute = usage.compute_seconds(session, tenant).get(tenant, 0.0)
            end = usage.next_midnight(session)
            stored = usage.count_bytes(session, tenant, self._undo_seconds)
            waiting = usage.count_waiting(session, tenant)
            running = usage.count_running(session, tenant)
            intakes = usage.count_intakes(session, tenant)
            keys = usage.count_keys(session, tenant)
        recent = most.requests_per_second - self._rates.left(tenant)
        return {
            "stored_bytes": Use(most.stored_bytes, stored),
            "uploads": Use(most.uploads, self._uploads.used(tenant), "process"),
            "upload_bytes": Use(most.upload_bytes, self.incoming.reserved(tenant), "process"),
            "queued_jobs": Use(most.queued_jobs, waiting),
            "running_jobs": Use(most.running_jobs, running),
            "running_intakes": Use(most.running_intakes, intakes),
            "keys": Use(most.keys, keys),
            "compute_seconds": Use(most.compute_seconds, round(compute, 1), frees_at=end),
            "event_streams": Use(most.event_streams, self._streams.used(tenant), "process"),
            "waiting_requests": Use(most.waiting_requests, self._waiting.used(tenant), "process"),
            "requests_per_second": Use(most.requests_per_second, round(recent, 1), "process"),
        }

    def _refuse_bytes(self, session: Session, tenant: str, more: int) -> None:
        limit = self._settings.stored_bytes
        used = usage.count_bytes(session, tenant, self._undo_seconds)
        if used + more > limit:
            raise StorageQuotaError(
                f"{used} of {limit} bytes of storage are used, and {more} more do not fit; "
                f"{HOW_TO_FREE}"
            )

    def _refuse_waiting(self, session: Session, tenant: str, more: int) -> None:
        limit, used = self._settings.queued_jobs, usage.count_waiting(session, tenant)
        if used + more > limit:
            raise TooManyJobsError(
                f"{used} jobs are queued or paused, and {more} more would exceed the limit of "
                f"{limit}; wait for jobs to finish or cancel some",
                retry_after_seconds=_JOBS_RETRY_SECONDS,
            )


def _too_many_uploads(limit: int) -> TooManyUploadsError:
    return TooManyUploadsError(
        f"the tenant already has {limit} uploads in progress, the limit per API process; try again "
        "when one has finished"
    )


def _too_many_streams(limit: int) -> TooManyStreamsError:
    return TooManyStreamsError(
        f"the tenant already has {limit} open event streams, the limit per API process; close one "
        "first"
    )


def _too_many_waiting(limit: int) -> TooManyRequestsError:
    return TooManyRequestsError(
        f"{limit} requests wait for jobs or plans, as many as one API process keeps for a tenant; "
        "ask again without 'wait', or for fewer at once"
    )

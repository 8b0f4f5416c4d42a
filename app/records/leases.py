"""The worker side of a job: claim, renew, report and finish, guarded by a fencing token.

A stale claim changes nothing: each function checks the token on the locked row and reports failure
to the worker.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.contracts.job import LEASED, FailureCode, JobKind, JobState, Stage
from app.records.avoidance import may_claim
from app.records.database import current_time
from app.records.events import Report, add_events, add_reports
from app.records.jobs import (
    fail_locked,
    get_job,
    move,
)
from app.records.line import Allowance, next_in_line, note_turn
from app.records.outcomes import Outcome, store_intake, store_pruned
from app.records.tables import JobRow, JobWarning, QueuePauseRow, WorkerRow

BACK_OFF_SECONDS = 2.0
_MAX_BACK_OFF_SECONDS = 300.0
_MOST_WARNINGS = 100  # that lists of jobs show; all of them are events


@dataclass(frozen=True)
class Claim:
    """Right to run a job, valid while its token is the newest.

    Attributes:
        job_id: The job.
        token: Fencing token.
        attempt: Number of the attempt.
        kind: Kind of the job.
        tenant: Owner of the job.
        trace_id: Trace of the request that posted the job.
        request_id: That request.
    """

    job_id: str
    token: int
    attempt: int
    kind: JobKind = JobKind.PRUNE
    tenant: str = ""
    trace_id: str | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class LeaseStatus:
    """Result of a renewal."""

    is_held: bool
    is_cancel_requested: bool = False
    is_pause_requested: bool = False
    is_drain_requested: bool = False


def claim(session: Session, *, job_id: str, owner: str, lease_seconds: float) -> Claim | None:
    """Claim a queued job: next attempt, new token, new lease. None if it cannot be claimed."""
    job = session.scalars(
        select(JobRow)
        .where(JobRow.id == job_id, JobRow.state == JobState.QUEUED)
        .with_for_update(skip_locked=True)
    ).one_or_none()
    now = current_time(session)
    if job is None or (job.not_before is not None and job.not_before > now):
        return None
    job.attempt += 1
    job.lease_token += 1
    job.stage, job.progress, job.not_before = None, None, None
    move(session, job, JobState.RUNNING, {"attempt": job.attempt})
    job.lease_owner, job.lease_expires_at = owner, now + lease_seconds
    note_turn(session, job)
    return Claim(
        job.id,
        job.lease_token,
        job.attempt,
        JobKind(job.kind),
        job.tenant,
        job.trace_id,
        job.request_id,
    )


def claim_next(
    session: Session,
    *,
    queue: str,
    owner: str,
    lease_seconds: float,
    allowance: Allowance | None = None,
) -> Claim | None:
    """Claim the next job in the line of a queue; None if no job is due for this worker.

    No job is due while the queue is paused, or for a cordoned worker.
    """
    worker = session.get(WorkerRow, owner)
    is_cordoned = worker is not None and worker.cordoned_at is not None
    if is_cordoned or session.get(QueuePauseRow, queue) is not None:
        return None
    passed: set[str] = set()
    is_ours = may_claim(session, queue, owner)
    while (job_id := next_in_line(session, queue, passed, allowance, is_ours)) is not None:
        claimed = claim(session, job_id=job_id, owner=owner, lease_seconds=lease_seconds)
        if claimed is not None:
            return claimed
        passed.add(job_id)  # another worker claimed it first
    return None


def renew(session: Session, held: Claim, *, lease_seconds: float) -> LeaseStatus:
    """Extend the lease; return whether it is still held and whether to stop."""
    job = held_job(session, held)
    if job is None:
        return LeaseStatus(is_held=False)
    job.lease_expires_at = current_time(session) + lease_seconds
    worker = session.get(WorkerRow, job.lease_owner) if job.lease_owner else None
    return LeaseStatus(
        is_held=True,
        is_cancel_requested=job.state == JobState.CANCELLING,
        is_pause_requested=job.state == JobState.PAUSING,
        is_drain_requested=worker is not None and worker.drained_at is not None,
    )


def record(  # noqa: PLR0913  # one argument per part of a report
    session: Session,
    held: Claim,
    reports: Sequence[Report],
    *,
    stage: Stage | None = None,
    progress: dict[str, Any] | None = None,
    warnings: Sequence[JobWarning] = (),
    withdrawn: Sequence[str] = (),
) -> bool:
    """Write a progress report of the worker's process; False if the claim is stale.

    Args:
        session: The transaction.
        held: The claim.
        reports: The events, in order. Those that the job has already are left out.
        stage: Current stage; None keeps the last one.
        progress: Progress of the whole job; None keeps the last one.
        warnings: Warnings for the user.
        withdrawn: Earlier warnings that no longer hold.
    """
    job = held_job(session, held)
    if job is None:
        return False
    if stage is not None:
        job.stage = stage
    if progress is not None:
        job.progress = progress
    # An attempt that resumes an earlier one repeats its warnings.
    news = [warning for warning in warnings if warning not in job.warnings]
    if news or withdrawn:
        kept = [w for w in (*job.warnings, *news) if w not in withdrawn]
        job.warnings = kept[:_MOST_WARNINGS]
    added = add_reports(session, job, reports)
    job.reported_bytes += sum(len(json.dumps(report.data)) for report in added)
    return True


def finish(session: Session, held: Claim, outcome: Outcome) -> bool:
    """Mark the job ``succeeded`` and store its outputs; False if the claim is stale."""
    job = held_job(session, held)
    if job is None:
        return False
    if job.state == JobState.CANCELLING:
        move(session, job, JobState.CANCELLED)
        return True
    if job.kind == JobKind.PRUNE:
        job.result = store_pruned(session, job, outcome)
    elif job.kind == JobKind.PLAN:
        job.result = outcome.result
    else:
        job.result = outcome.result
        store_intake(session, job, outcome)
    job.progress = {"fraction": 1.0}
    job.reported_bytes += len(json.dumps([outcome.result, outcome.report]))
    move(session, job, JobState.SUCCEEDED)
    return True


def fail(  # one argument per part of the public error
    session: Session,
    held: Claim,
    code: FailureCode,
    message: str,
    stage: Stage | None,
    hint: str = "",
) -> bool:
    """Fail the job, or cancel it if that was requested; False if the claim is stale."""
    job = held_job(session, held)
    if job is None:
        return False
    if job.state == JobState.CANCELLING:
        move(session, job, JobState.CANCELLED)
    else:
        fail_locked(session, job, code, message, stage, hint)
    return True


def retry_smaller_or_fail(
    session: Session, held: Claim, message: str, stage: Stage | None, batch_size: int
) -> bool:
    """Retry a job that ran out of memory, once, with half the batch size; or fail it."""
    job = held_job(session, held)
    if job is None:
        return False
    smaller = batch_size // 2
    is_hopeless = job.batch_divisor > 1 or smaller < 1 or job.attempt >= job.max_attempts
    if is_hopeless or job.kind != JobKind.PRUNE or job.state != JobState.RUNNING:
        tried = batch_size // job.batch_divisor
        if job.batch_divisor > 1:
            message = f"{message.rstrip('.')}; a second attempt with batches of {tried} failed too."
        hint = _memory_hint(JobKind(job.kind), tried)
        return fail(session, held, FailureCode.OUT_OF_MEMORY, message, stage, hint)
    job.batch_divisor = 2
    warning = f"out of memory in attempt {job.attempt}: trying again with batches of {smaller}"
    job.warnings = [*job.warnings, warning]
    add_events(session, job, [("warning", {"message": warning})])
    queue_again(session, job, message, job.attempt)
    return True


def keep_checkpoint(
    session: Session, held: Claim, files: dict[str, str], most_setbacks: int
) -> Collection[str]:
    """Record the objects of the newest checkpoint, and return the objects to delete.

    The job has got further, so its earlier attempts no longer count (`setbacks`).

    The objects to delete are the previous checkpoint's objects, or the new ones if the claim is
    stale. A checkpoint's content names its job and claim, so no other row refers to the same
    objects.

    Args:
        session: The transaction.
        held: The claim.
        files: SHA-256 by file name.
        most_setbacks: Setbacks after which every attempt counts.

    Returns:
        SHA-256 of each object that is no longer needed.
    """
    job = held_job(session, held)
    if job is None:
        return tuple(files.values())
    before, job.checkpoint = job.checkpoint, {"token": held.token, "files": files}
    if job.num_setbacks < most_setbacks:  # only attempts in a row without a checkpoint count
        job.num_setbacks += job.attempt - 1
        job.attempt = 1
    return tuple(set(before["files"].values()) - set(files.values())) if before is not None else ()


def mark_cancelled(session: Session, held: Claim) -> bool:
    """Mark a job ``cancelled`` after its process was stopped; False if the claim is stale."""
    job = held_job(session, held)
    if job is None:
        return False
    if job.state != JobState.CANCELLING:
        move(session, job, JobState.CANCELLING)
    move(session, job, JobState.CANCELLED)
    return True


def hand_back(session: Session, held: Claim, reason: str = "the worker shuts down") -> bool:
    """Release the job: pause or cancel it if that was requested, else queue it again.

    A job that is paused or queued again does not spend an attempt. False if the claim is stale.
    """
    job = held_job(session, held)
    if job is None:
        return False
    if job.state == JobState.CANCELLING:
        move(session, job, JobState.CANCELLED)
        return True
    job.attempt -= 1
    if job.state == JobState.PAUSING:
        move(session, job, JobState.PAUSED)
        return True
    move(session, job, JobState.QUEUED, {"reason": reason})
    return True


def _memory_hint(kind: JobKind, batch_size: int) -> str:
    """Return a hint for an out-of-memory failure; only pruning has a batch size to reduce."""
    more = "or ask the operator to raise SECATEUR_WORKER__MEMORY_BYTES."
    if kind == JobKind.PRUNE and batch_size > 1:
        return f"Use a retrain.batch_size below {batch_size}, {more}"
    what = "data set" if kind == JobKind.INTAKE_DATASET else "network, or smaller samples"
    return f"Use a smaller {what}, {more}"


def held_job(session: Session, held: Claim) -> JobRow | None:
    """Return the locked job if the claim is the newest and its lease was not revoked."""
    job = get_job(session, held.job_id)
    is_good = job.lease_token == held.token and job.state in LEASED
    return job if is_good else None


def queue_again(session: Session, job: JobRow, message: str, num_failures: int) -> None:
    """Queue a locked job again; each of its failures doubles the back-off."""
    wait = min(_MAX_BACK_OFF_SECONDS, BACK_OFF_SECONDS * 2 ** min(num_failures - 1, 20))
    job.not_before = current_time(session) + wait
    move(session, job, JobState.QUEUED, {"reason": message, "wait_seconds": wait})

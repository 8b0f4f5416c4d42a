"""Setbacks: attempts that do not count, because the infrastructure failed or the job got further.

The object store is away, a worker's disk is full, its libraries cannot be loaded: another attempt
has the same chances, so a setback takes none of `JobRow.max_attempts`. A job has a number of
setbacks of its own, because some failures only look like failures of the infrastructure.

An attempt that stored a checkpoint before it was lost is a setback as well: the next one resumes
there, and the number of checkpoints is finite. A job that kills its process or its worker at the
same place every time stores no checkpoint in between, so it fails after `JobRow.max_attempts`.

A worker that failed a job for reasons of its own does not get the job again while another worker
takes jobs of the same queue.
"""

from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from app.contracts.job import FailureCode, JobState, Stage
from app.records.jobs import fail_locked, move
from app.records.leases import Claim, held_job, queue_again
from app.records.tables import JobRow

_MOST_OWNERS = 8  # that a row remembers


@dataclass(frozen=True)
class Setback:
    """A failure of the infrastructure.

    Attributes:
        code: Code of the job's failure, should this have been its last setback.
        message: What happened.
        stage: Stage in which it happened.
        is_of_worker: Whether other workers may do better.
        is_certain: Whether the worker saw the cause itself. Otherwise the job may be at fault, and
            only its first failure on each worker is a setback.
    """

    code: FailureCode
    message: str
    stage: Stage | None
    is_of_worker: bool
    is_certain: bool = True


def set_back(session: Session, held: Claim, setback: Setback, most: int) -> bool:
    """Queue the job again without counting the attempt; False if the claim is stale.

    Args:
        session: The transaction.
        held: The claim.
        setback: The failure.
        most: Setbacks after which a job fails.
    """
    job = held_job(session, held)
    if job is None:
        return False
    set_back_locked(session, job, setback, most)
    return True


def set_back_locked(session: Session, job: JobRow, setback: Setback, most: int) -> None:
    """Queue a locked job again without counting the attempt; see `set_back`."""
    is_known = setback.is_of_worker and not _add_owner(job)
    if is_known and not setback.is_certain:
        retry_or_fail_locked(session, job, setback, most)
        return
    if job.state == JobState.CANCELLING:
        move(session, job, JobState.CANCELLED)
        return
    job.attempt -= 1
    job.num_setbacks += 1
    if job.state == JobState.PAUSING:
        move(session, job, JobState.PAUSED)
    elif job.num_setbacks > most:
        fail_locked(session, job, setback.code, setback.message, setback.stage)
    else:
        queue_again(session, job, setback.message, job.num_setbacks)


def retry_or_fail(  # one argument per part of the public error
    session: Session,
    held: Claim,
    code: FailureCode,
    message: str,
    stage: Stage | None,
    most: int,
) -> bool:
    """Queue the job again with back-off, or fail it after its last attempt.

    Returns False if the claim is stale. The attempt does not count if it stored a checkpoint.

    Args:
        session: The transaction.
        held: The claim.
        code: Code of the job's failure, should this have been its last attempt.
        message: What happened.
        stage: Stage in which it happened.
        most: Setbacks after which every attempt counts.
    """
    job = held_job(session, held)
    if job is None:
        return False
    retry_or_fail_locked(session, job, Setback(code, message, stage, is_of_worker=False), most)
    return True


def retry_or_fail_locked(session: Session, job: JobRow, lost: Setback, most: int) -> None:
    """Queue a locked job again, or fail it after its last attempt; see `retry_or_fail`."""
    is_further = job.checkpoint is not None and job.checkpoint["token"] == job.lease_token
    if job.state == JobState.CANCELLING:
        move(session, job, JobState.CANCELLED)
    elif is_further and job.num_setbacks < most:
        set_back_locked(session, job, replace(lost, is_of_worker=False), most)
    elif job.attempt >= job.max_attempts:
        fail_locked(session, job, lost.code, lost.message, lost.stage)
    elif job.state == JobState.PAUSING:
        move(session, job, JobState.PAUSED)
    else:
        queue_again(session, job, lost.message, job.attempt)


def is_first_on_worker(session: Session, held: Claim) -> bool:
    """Return whether the claim's worker has not failed the job before; False if it is stale."""
    job = held_job(session, held)
    return job is not None and job.lease_owner not in (job.avoided_owners or "").split()


def deduct_wait(session: Session, held: Claim, seconds: float) -> None:
    """Let the time that the worker waited for the infrastructure not count as running time."""
    job = held_job(session, held)
    if job is not None and job.claimed_at is not None:
        job.claimed_at += seconds


def _add_owner(job: JobRow) -> bool:
    """Remember that the job's worker failed it; return whether that is new."""
    owners = (job.avoided_owners or "").split()
    if job.lease_owner is None or job.lease_owner in owners:
        return False
    kept = [*owners, job.lease_owner][-_MOST_OWNERS:]
    job.avoided_owners = f" {' '.join(kept)} "
    return True

"""Creates jobs, plans them, and waits for their results."""

from collections.abc import Callable, Mapping
from typing import Any

from secateur.core.calls import Context, call
from secateur.core.endpoints import CREATE_JOB, PLAN_JOB, READ_JOB
from secateur.core.requests import make_json_request, make_request, new_idempotency_key
from secateur.core.steps import Flow, Sleep
from secateur.errors import (
    JobCancelledError,
    JobExpiredError,
    JobFailedError,
    JobNotSucceededError,
    WaitTimeoutError,
)
from secateur.types import JobData, Plan

# The service allows up to 60 s. A mere change of progress does not end such a wait, so callers with
# `on_progress` poll every second.
LONGEST_WAIT_SECONDS, PROGRESS_SECONDS = 30.0, 1.0
_IDLE_SECONDS, _QUICK_SECONDS = 0.5, 0.25

_ERRORS: Mapping[str, type[JobNotSucceededError]] = {
    "failed": JobFailedError,
    "cancelled": JobCancelledError,
    "expired": JobExpiredError,
}


def create_job(context: Context, body: Mapping[str, Any]) -> Flow[JobData]:
    """Create a job; retries cannot create a second one."""
    request = make_json_request(CREATE_JOB, body, headers=new_idempotency_key())
    job: JobData = yield from call(context, request)
    return job


def plan_job(context: Context, body: Mapping[str, Any], timeout: float) -> Flow[Plan]:
    """Return what a job would keep; nothing is stored."""
    query = {"wait": f"{timeout:g}"}
    request = make_json_request(PLAN_JOB, body, query=query, wait_seconds=timeout)
    plan: Plan = yield from call(context, request)
    return plan


def wait_for_job(
    context: Context,
    job: JobData,
    timeout: float | None,
    on_progress: Callable[[JobData], None] | None,
) -> Flow[JobData]:
    """Wait until a job has succeeded and return it.

    Raises:
        JobNotSucceededError: The job ended without a result.
        WaitTimeoutError: The job took longer than ``timeout`` seconds; it continues.
    """
    longest = LONGEST_WAIT_SECONDS if on_progress is None else PROGRESS_SECONDS
    end = float("inf") if timeout is None else context.clock() + timeout
    while not job.is_final:
        started = context.clock()
        if started >= end:
            raise WaitTimeoutError(
                f"job {job.id} is {job.status} and not done after {timeout:g} s; it continues"
            )
        seconds = min(longest, end - started)
        request = make_request(
            READ_JOB, job.id, query={"wait": f"{seconds:g}"}, wait_seconds=seconds
        )
        before, job = job, (yield from call(context, request))
        if on_progress is not None:
            on_progress(job)
        is_news = (job.status, job.stage) != (before.status, before.stage)
        if not is_news and context.clock() - started < min(seconds, _QUICK_SECONDS):
            yield Sleep(_IDLE_SECONDS)  # a proxy answered without waiting
    return succeeded(job)


def succeeded(job: JobData) -> JobData:
    """Return a finished job if it succeeded.

    Raises:
        JobNotSucceededError: It ended without a result.
    """
    if job.status in _ERRORS:
        raise _ERRORS[job.status](job)
    return job

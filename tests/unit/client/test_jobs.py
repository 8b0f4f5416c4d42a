"""Waiting for a job: long polls, timeouts, and errors for failed jobs."""

from collections.abc import Callable
from typing import Any

import pytest

from secateur.core.calls import Context
from secateur.core.jobs import wait_for_job
from secateur.errors import (
    JobCancelledError,
    JobExpiredError,
    JobFailedError,
    JobNotSucceededError,
    WaitTimeoutError,
)
from secateur.types import JobData
from tests.unit.client.script import CONTEXT, Script, job, ok


def a_job(**changes: Any) -> JobData:
    return JobData.model_validate(job(**changes))


def ticking(*seconds: float) -> Callable[[], float]:
    return iter(seconds).__next__


def test_polls_are_long_and_shorter_where_progress_is_wanted() -> None:
    for on_progress, wait in ((None, "30"), (lambda _: None, "1")):
        script = Script([ok(job(stage="retrain")), ok(job(status="succeeded"))])
        found = script.run(wait_for_job(CONTEXT, a_job(), None, on_progress))
        assert found.status == "succeeded"
        assert {request.query["wait"] for request in script.requests} == {wait}
        assert all(request.wait_seconds == float(wait) for request in script.requests)


def test_progress_is_reported() -> None:
    seen: list[str | None] = []
    script = Script([ok(job(stage="prune")), ok(job(status="succeeded", stage="package"))])
    script.run(wait_for_job(CONTEXT, a_job(), None, lambda found: seen.append(found.stage)))
    assert seen == ["prune", "package"]


def test_an_ended_job_is_not_polled() -> None:
    script = Script([])
    assert script.run(wait_for_job(CONTEXT, a_job(status="succeeded"), None, None)).is_final


@pytest.mark.parametrize(
    ("status", "error"),
    [("failed", JobFailedError), ("cancelled", JobCancelledError), ("expired", JobExpiredError)],
)
def test_a_bad_end_is_an_error_that_carries_the_job(
    status: str, error: type[JobNotSucceededError]
) -> None:
    reason = {
        "code": "nan_loss", "message": "It diverged.", "stage": "retrain", "retryable": False,
        "hint": "Use less.",
    }  # fmt: skip
    script = Script([ok(job(status=status, error=reason))])
    with pytest.raises(
        error, match=r"It diverged\. \[nan_loss in stage retrain\]\nUse less"
    ) as caught:
        script.run(wait_for_job(CONTEXT, a_job(), None, None))
    assert caught.value.job.status == status


def test_waiting_ends_in_time_and_the_job_goes_on() -> None:
    context = Context("http://service", 0, ticking(0, 0, 5, 10))
    script = Script([ok(job()), ok(job())])
    with pytest.raises(WaitTimeoutError, match="not done after 10 s; it continues") as caught:
        script.run(wait_for_job(context, a_job(), 10, None))
    assert isinstance(caught.value, TimeoutError)
    assert [request.query["wait"] for request in script.requests] == ["10"]


def test_a_server_without_long_polling_is_not_polled_constantly() -> None:
    context = Context("http://service", 0, ticking(0, 0.01, 1, 1.01, 2))
    script = Script([ok(job()), ok(job()), ok(job(status="succeeded"))])
    script.run(wait_for_job(context, a_job(), None, None))
    assert len(script.sleeps) == 2

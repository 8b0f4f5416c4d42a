"""Which requests are retried, how often and when."""

import pytest

from secateur.core.answers import failure_of
from secateur.core.calls import Context, call
from secateur.core.endpoints import CANCEL_JOB, INFER_ARRAY, PLAN_JOB, READ_JOB
from secateur.core.jobs import create_job
from secateur.core.requests import make_json_request, make_request
from secateur.core.steps import Answer
from secateur.errors import (
    AuthenticationError,
    ConnectionFailedError,
    InvalidRequestError,
    ServiceUnavailableError,
    TooManyRequestsError,
    UnexpectedAnswerError,
)
from tests.unit.client.script import ARRIVED, CONTEXT, NEVER_SENT, Script, job, ok, problem

READ = make_request(READ_JOB, "job_1")


def test_a_lost_request_is_sent_again_and_later_each_time() -> None:
    script = Script([ARRIVED, NEVER_SENT, ARRIVED, ok(job())])
    assert script.run(call(CONTEXT, READ)).id == "job_1"
    assert [round(seconds, 1) for seconds in script.sleeps] == pytest.approx([0.5, 1, 2], rel=0.26)


def test_retries_end_with_advice() -> None:
    script = Script([NEVER_SENT] * 4)
    with pytest.raises(ConnectionFailedError, match=r"after 4 tries: refused.*secateur serve"):
        script.run(call(CONTEXT, READ))
    with pytest.raises(ConnectionFailedError, match="after 1 try:"):
        Script([NEVER_SENT]).run(call(Context("http://service", 0), READ))


@pytest.mark.parametrize("status", [429, 503])
def test_a_full_service_is_retried_after_its_retry_after(status: int) -> None:
    script = Script([problem(status, "busy", "7"), problem(status, "busy", "9999"), ok(job())])
    assert script.run(call(CONTEXT, READ)).id == "job_1"
    assert script.sleeps == [7, 60]


def test_retries_of_a_full_service_are_limited() -> None:
    with pytest.raises(TooManyRequestsError, match="it is too_many_jobs"):
        Script([problem(429, "too_many_jobs", "1")] * 4).run(call(CONTEXT, READ))


def test_requests_that_must_not_repeat_are_sent_once() -> None:
    cancel = make_request(CANCEL_JOB, "job_1")
    script = Script([ARRIVED])
    with pytest.raises(ConnectionFailedError, match="may have been done: check before"):
        script.run(call(CONTEXT, cancel))
    assert len(script.requests) == 1
    script = Script([NEVER_SENT, problem(503, "busy"), ok(job(status="cancelling"))])
    assert script.run(call(CONTEXT, cancel)).status == "cancelling"


def test_a_job_is_posted_under_one_key_however_often() -> None:
    script = Script([ARRIVED, problem(503, "busy"), ok(job(), 202)])
    script.run(create_job(CONTEXT, {"model": "mdl_1", "dataset": None, "config": {}}))
    keys = {request.headers["idempotency-key"] for request in script.requests}
    assert len(keys) == 1
    assert {request.body for request in script.requests} == {b'{"model": "mdl_1", "config": {}}'}
    again = Script([ok(job(), 202)])
    again.run(create_job(CONTEXT, {"model": "mdl_1"}))
    assert again.requests[0].headers["idempotency-key"] not in keys


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (make_json_request(PLAN_JOB, {"model": "mdl_1"}), "unavailable"),
        (make_request(INFER_ARRAY, query={"model": "mdl_1"}), "deadline_exceeded"),
    ],
    ids=["plan", "deadline"],
)
def test_final_errors_are_not_retried(request_: object, code: str) -> None:
    script = Script([problem(503, code, "1")])
    with pytest.raises(ServiceUnavailableError):
        script.run(call(CONTEXT, request_))  # type: ignore[arg-type]
    assert script.sleeps == []


def test_a_refusal_lists_all_errors_and_what_to_do() -> None:
    errors = [{"pointer": "/a", "detail": "first"}, {"pointer": "/b", "detail": "second"}]
    answer = problem(422, "invalid_input", detail="/a: first", errors=errors)
    with pytest.raises(InvalidRequestError) as caught:
        Script([answer]).run(call(CONTEXT, READ))
    error = caught.value
    assert (error.status, error.code, error.request_id) == (422, "invalid_input", "req_1")
    assert [found.pointer for found in error.errors] == ["/a", "/b"]
    assert str(error) == "/a: first [invalid_input, request req_1]\n  /b: second"
    with pytest.raises(AuthenticationError, match="SECATEUR_KEY"):
        Script([problem(401, "unauthenticated")]).run(call(CONTEXT, READ))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(502, {"content-type": "text/html"}, b"<html>"), "status 502.*text/html"),
        (Answer(307, {"location": "https://other"}), "redirected to https://other"),
        (Answer(200, {}, b"<html>"), "JSON"),
        (ok({"id": 1}), "/id"),
    ],
    ids=["proxy", "redirect", "page", "other"],
)
def test_responses_of_other_servers_are_reported(answer: Answer, words: str) -> None:
    with pytest.raises(UnexpectedAnswerError, match=words):
        Script([answer]).run(call(CONTEXT, READ))


def test_the_other_protocols_errors_are_errors_too() -> None:
    error = failure_of(ok({"error": "no such model"}, 404))
    assert (type(error).__name__, str(error)) == ("NotFoundError", "no such model [not_found]")


def test_an_id_stays_one_segment_of_the_path() -> None:
    assert make_request(READ_JOB, "../x?a#b").path == "/v1/jobs/%2E%2E%2Fx%3Fa%23b"
    with pytest.raises(Exception, match="an id is empty"):
        make_request(READ_JOB, "")


def test_nothing_is_sent_that_the_endpoint_does_not_declare() -> None:
    with pytest.raises(ValueError, match="declares no parameter 'limit'"):
        make_request(READ_JOB, "job_1", query={"limit": 1})
    with pytest.raises(ValueError, match="declares no body 'text/plain'"):
        make_request(READ_JOB, "job_1", media_type="text/plain")


def test_the_hint_of_the_service_comes_before_our_own() -> None:
    error = failure_of(problem(401, "unauthenticated", hint="Log in at the gateway."))

    assert str(error).endswith("\nLog in at the gateway.")
    assert isinstance(error, AuthenticationError)
    assert error.hint == "Log in at the gateway."

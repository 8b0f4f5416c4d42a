"""Turns HTTP responses into typed values or exceptions."""

from http.client import responses as PHRASES  # noqa: N812  # a constant
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from secateur.core.endpoints import Endpoint
from secateur.core.steps import Answer
from secateur.errors import (
    ErrorDetail,
    SecateurError,
    UnexpectedAnswerError,
    api_error_type,
)
from secateur.types import Problem, ProtocolError

T = TypeVar("T")

_FIRST_ERROR, _FIRST_REDIRECT = 400, 300
_SHOWN = 200


def parse(answer: Answer, answer_type: type[T]) -> T:
    """Return the value of a successful JSON response.

    Raises:
        UnexpectedAnswerError: The response does not match the type.
    """
    try:
        return TypeAdapter(answer_type).validate_json(answer.body)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"/{part}" for part in first["loc"])
        what = (
            f"the response has an unexpected value at {where}"
            if where
            else "the response is not JSON"
        )
        raise UnexpectedAnswerError(
            f"{what}. Does the URL belong to a Secateur service of this client's version? "
            f"The response begins with {answer.body[:_SHOWN]!r}"
        ) from error


def refuse_failure(endpoint: Endpoint, answer: Answer) -> None:
    """Raise the exception of an unsuccessful response; return if the response is successful."""
    if answer.status >= _FIRST_ERROR:
        raise failure_of(answer)
    if answer.status >= _FIRST_REDIRECT:
        to = answer.headers.get("location", "somewhere")
        raise UnexpectedAnswerError(
            f"{endpoint.method} {endpoint.path} was redirected to {to}. Use that URL: the client "
            "does not send its key to another address"
        )


def failure_of(answer: Answer) -> SecateurError:
    """Return the exception of an unsuccessful response."""
    problem = _problem(answer) or _protocol_error(answer)
    if problem is None:
        kind = answer.headers.get("content-type", "no content type")
        return UnexpectedAnswerError(
            f"status {answer.status} without a problem document ({kind}). Does the URL belong to a "
            f"Secateur service? The response begins with {answer.body[:_SHOWN]!r}"
        )
    errors = [ErrorDetail(found.pointer, found.detail) for found in problem.errors]
    return api_error_type(answer.status)(
        answer.status,
        problem.code,
        problem.detail,
        errors=errors,
        request_id=problem.request_id,
        hint=_hint(problem),
    )


def code_of(answer: Answer) -> str | None:
    """Return the stable code of an unsuccessful response."""
    problem = _problem(answer)
    return problem.code if problem is not None else None


def _hint(problem: Problem) -> str | None:
    """Return the hint of a service that sends one; today's service does not."""
    hint = (problem.model_extra or {}).get("hint")
    return hint if isinstance(hint, str) else None


def _problem(answer: Answer) -> Problem | None:
    try:
        return Problem.model_validate_json(answer.body)
    except ValidationError:
        return None


def _protocol_error(answer: Answer) -> Problem | None:
    """Return an error of the Open Inference Protocol, which has only a message, as a problem."""
    try:
        found = ProtocolError.model_validate_json(answer.body)
    except ValidationError:
        return None
    phrase = PHRASES.get(answer.status, "error")
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    return Problem(
        title=phrase,
        status=answer.status,
        detail=found.error,
        instance="",
        code=code,
        request_id=answer.headers.get("x-request-id"),
    )

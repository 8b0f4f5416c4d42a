"""From answers to typed values, or to errors that say what to do."""

from http.client import responses as PHRASES  # noqa: N812  # a table, as it is used
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
    """Return the value of a successful JSON answer.

    Raises:
        UnexpectedAnswerError: It is not what this client knows.
    """
    try:
        return TypeAdapter(answer_type).validate_json(answer.body)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"/{part}" for part in first["loc"])
        what = (
            f"the answer is not what was expected at {where}" if where else "the answer is no JSON"
        )
        raise UnexpectedAnswerError(
            f"{what}. Is the URL a Secateur service's, and of this client's "
            f"version? It begins with {answer.body[:_SHOWN]!r}"
        ) from error


def refuse_failure(endpoint: Endpoint, answer: Answer) -> None:
    """Raise what an unsuccessful answer says; do nothing if it is a successful one."""
    if answer.status >= _FIRST_ERROR:
        raise failure_of(answer)
    if answer.status >= _FIRST_REDIRECT:
        to = answer.headers.get("location", "somewhere")
        raise UnexpectedAnswerError(
            f"{endpoint.method} {endpoint.path} is redirected to {to}: use the URL that it leads "
            "to; a key is not carried along"
        )


def failure_of(answer: Answer) -> SecateurError:
    """Return the error that an unsuccessful answer stands for."""
    problem = _problem(answer) or _protocol_error(answer)
    if problem is None:
        kind = answer.headers.get("content-type", "no type")
        return UnexpectedAnswerError(
            f"status {answer.status}, and no problem that this client knows ({kind}): is the URL "
            f"a Secateur service's? It begins with {answer.body[:_SHOWN]!r}"
        )
    errors = [ErrorDetail(found.pointer, found.detail) for found in problem.errors]
    return api_error_type(answer.status)(
        answer.status, problem.code, problem.detail, errors=errors, request_id=problem.request_id
    )


def code_of(answer: Answer) -> str | None:
    """Return the stable code of an unsuccessful answer."""
    problem = _problem(answer)
    return problem.code if problem is not None else None


def _problem(answer: Answer) -> Problem | None:
    try:
        return Problem.model_validate_json(answer.body)
    except ValidationError:
        return None


def _protocol_error(answer: Answer) -> Problem | None:
    """Return an error of the Open Inference Protocol, which is a sentence, as a problem."""
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

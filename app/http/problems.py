"""Errors as problem+json (RFC 9457).

One table maps error classes to statuses; the lookup follows an error's MRO. FastAPI's own 404, 405
and 422, and unexpected errors, use the same format.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, cast

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field
from sqlalchemy.exc import DataError, OperationalError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.types import Scope

from app.contracts import errors
from app.contracts.complaints import complaints
from app.contracts.errors import ErrorDetail, ServiceError
from app.http import errors as http_errors
from app.openapi import reference

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
STATUSES: dict[type[ServiceError], HTTPStatus] = {
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.InvalidInputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnsupportedMediaError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    http_errors.UrlTooLongError: HTTPStatus.REQUEST_URI_TOO_LONG,
    http_errors.HeadersTooLargeError: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    http_errors.BadRequestError: HTTPStatus.BAD_REQUEST,
    http_errors.UnknownHostError: HTTPStatus.MISDIRECTED_REQUEST,
    http_errors.TooSlowError: HTTPStatus.REQUEST_TIMEOUT,
    http_errors.PreconditionFailedError: HTTPStatus.PRECONDITION_FAILED,
    http_errors.PreconditionRequiredError: HTTPStatus.PRECONDITION_REQUIRED,
    errors.UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    errors.ForbiddenError: HTTPStatus.FORBIDDEN,
    errors.TooManyError: HTTPStatus.TOO_MANY_REQUESTS,
    errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    ServiceError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
RETRY_AFTER_SECONDS = "5"
# Builds the error response for paths below one prefix from a status, a message and headers.
Shape = Callable[[HTTPStatus, str, dict[str, str]], Response]


class ProblemDetail(BaseModel):
    """One problem with the input."""

    pointer: str = Field(description="A JSON pointer into the request.")
    detail: str


class Problem(BaseModel):
    """Response to every failed request of ``/v1``."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(description="Stable; see docs/errors.md.")
    request_id: str | None
    errors: list[ProblemDetail] = []


# For ``responses=`` of routes: describes every response that a route does not declare.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "content": {MEDIA_TYPE: {"schema": reference(Problem)}},
        "description": "A problem.",
    }
}
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    304: {"description": "The resource still matches If-None-Match."}
}


def install_error_handlers(app: FastAPI, shapes: Mapping[str, Shape]) -> None:
    """Answer expected errors of ``app`` with problems; `app.http.request` handles the rest.

    Args:
        app: The application.
        shapes: Response builder by path prefix, where errors use another format.
    """
    app.state.error_shapes = shapes
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(OperationalError, _database_error)
    app.add_exception_handler(DataError, _unstorable_error)


async def answer_to(request: Request, error: Exception) -> Response | None:
    """Return the response of the application's handler for ``error``; None if there is none."""
    handlers = request.app.exception_handlers
    handler = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
    if handler is None:
        return None
    answer = handler(request, error)
    return cast("Response", await answer if inspect.isawaitable(answer) else answer)


def status_of(error: ServiceError) -> HTTPStatus:
    """Return the status of the nearest class in the error's MRO that has one."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def problem(scope: Scope, error: ServiceError) -> Response:
    """Return the response for ``error``, with ``Retry-After`` where it applies."""
    response = _problem(scope, status_of(error), error.code, error.message, error.details)
    if isinstance(error, errors.TooManyError | errors.OverloadedError):
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_seconds))
    return response


def problem_body(error: ServiceError, path: str, request_id: str | None) -> dict[str, Any]:
    """Return the JSON members of the problem for ``error``."""
    return _body(status_of(error), error.code, error.message, error.details, path, request_id)


def unexpected_problem(scope: Scope) -> Response:
    """Return a 500 response without details; those go to the log only."""
    message = "an internal error occurred; report the request id to the operator"
    return _problem(scope, HTTPStatus.INTERNAL_SERVER_ERROR, "internal", message)


def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101  # registered for it
    return problem(request.scope, error)


def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for it
    details = []
    for item in error.errors():
        where, *rest = item["loc"]
        schema = _body_type(request) if where == "body" else None
        details += complaints([{**item, "loc": rest}], schema)
    first = details[0] if details else ErrorDetail("", "is not accepted")
    message = f"{first.pointer}: {first.detail}" if first.pointer else f"the body {first.detail}"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return _problem(request.scope, status, "invalid_input", message, details)


def _body_type(request: Request) -> Any:  # noqa: ANN401  # a type
    field = getattr(request.scope.get("route"), "body_field", None)
    return None if field is None else field.field_info.annotation


def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101  # registered for it
    cause = error.__cause__
    if isinstance(cause, ServiceError):  # FastAPI wraps errors raised while it reads a body
        return problem(request.scope, cause)
    status = HTTPStatus(error.status_code)
    code = status.phrase.lower().replace(" ", "_").replace("-", "_")
    response = _problem(request.scope, status, code, str(error.detail))
    response.headers.update(error.headers or {})
    return response


def _database_error(request: Request, error: Exception) -> Response:
    log.error("database.unavailable", exc_info=error)
    message = "the database cannot be reached; nothing was changed"
    return _problem(request.scope, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", message)


def _unstorable_error(request: Request, _error: Exception) -> Response:
    """Answer 422 for a value our checks miss and the database rejects: NUL in PostgreSQL."""
    message = "the request contains a character or a number that cannot be stored"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return _problem(request.scope, status, errors.InvalidInputError.code, message)


def _problem(
    scope: Scope,
    status: HTTPStatus,
    code: str,
    message: str,
    details: Sequence[ErrorDetail] = (),
) -> Response:
    headers = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    path = scope["path"]
    shape = _shape_of(scope, path)
    if shape is not None:
        return shape(status, message, headers)
    request_id = scope.get("state", {}).get("request_id")
    body = _body(status, code, message, details, path, request_id)
    return JSONResponse(body, status, headers, media_type=MEDIA_TYPE)


def _shape_of(scope: Scope, path: str) -> Shape | None:
    shapes: Mapping[str, Shape] = scope["app"].state.error_shapes if "app" in scope else {}
    return next((s for p, s in shapes.items() if path == p or path.startswith(f"{p}/")), None)


def _body(  # one argument per member
    status: HTTPStatus,
    code: str,
    message: str,
    details: Sequence[ErrorDetail],
    path: str,
    request_id: str | None,
) -> dict[str, Any]:
    return Problem(
        title=status.phrase,
        status=status,
        detail=message,
        instance=path,
        code=code,
        request_id=request_id,
        errors=[ProblemDetail(pointer=d.pointer, detail=d.detail) for d in details],
    ).model_dump()

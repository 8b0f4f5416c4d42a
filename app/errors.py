"""Errors as problem+json (RFC 9457): one table from families to statuses, looked up along the MRO.

FastAPI's own 404, 405, 422 and whatever broke come out in the same shape.
"""

from collections.abc import Sequence
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException as StarletteHTTPException

from app.contracts import errors
from app.contracts.errors import ErrorDetail, ServiceError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
STATUSES: dict[type[ServiceError], HTTPStatus] = {
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    errors.ConflictError: HTTPStatus.CONFLICT,
    errors.InvalidInputError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.UnsupportedMediaError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    errors.TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.UnauthenticatedError: HTTPStatus.UNAUTHORIZED,
    errors.ForbiddenError: HTTPStatus.FORBIDDEN,
    errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    ServiceError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
_RETRY_AFTER_SECONDS = "5"


class ProblemDetail(BaseModel):
    """One thing wrong with the input."""

    pointer: str = Field(description="A JSON pointer into the request.")
    detail: str


class Problem(BaseModel):
    """What every failed request of ``/v1`` answers."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    instance: str
    code: str = Field(description="Stable; see docs/errors.md.")
    request_id: str | None
    errors: list[ProblemDetail] = []


# For ``responses=`` of routes, so that clients see the shape in the OpenAPI document.
RESPONSES: dict[int | str, dict[str, object]] = {
    "default": {"model": Problem, "content": {MEDIA_TYPE: {}}, "description": "A problem."}
}


def install_error_handlers(app: FastAPI) -> None:
    """Make every failure of ``app`` a problem."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(OperationalError, _database_error)
    app.add_exception_handler(Exception, _unexpected_error)


def status_of(error: ServiceError) -> HTTPStatus:
    """Return the status of an error's nearest family."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def _service_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ServiceError)  # noqa: S101  # registered for it
    return _problem(request, status_of(error), error.code, error.message, error.details)


def _validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for it
    details = [
        ErrorDetail("/" + "/".join(str(part) for part in item["loc"][1:]), str(item["msg"]))
        for item in error.errors()
    ]
    first = details[0] if details else ErrorDetail("/", "invalid")
    message = f"{first.pointer}: {first.detail}"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return _problem(request, status, "invalid_input", message, details)


def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101  # registered for it
    status = HTTPStatus(error.status_code)
    code = status.phrase.lower().replace(" ", "_").replace("-", "_")
    response = _problem(request, status, code, str(error.detail))
    response.headers.update(error.headers or {})
    return response


def _database_error(request: Request, error: Exception) -> JSONResponse:
    log.error("database.unavailable", exc_info=error)
    message = "the database cannot be reached; nothing was changed"
    return _problem(request, HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", message)


def _unexpected_error(request: Request, error: Exception) -> JSONResponse:
    log.error("request.failed", exc_info=error)
    message = "something broke inside Secateur; tell the operator the request id"
    return _problem(request, HTTPStatus.INTERNAL_SERVER_ERROR, "internal", message)


def _problem(
    request: Request,
    status: HTTPStatus,
    code: str,
    message: str,
    details: Sequence[ErrorDetail] = (),
) -> JSONResponse:
    body = Problem(
        title=status.phrase,
        status=status,
        detail=message,
        instance=request.url.path,
        code=code,
        request_id=request.scope.get("state", {}).get("request_id"),
        errors=[ProblemDetail(pointer=d.pointer, detail=d.detail) for d in details],
    )
    headers = {}
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = _RETRY_AFTER_SECONDS
    return JSONResponse(body.model_dump(), status, headers, media_type=MEDIA_TYPE)

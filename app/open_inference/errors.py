"""Errors of ``/v2``: ``{"error": "…"}``, and 400 for every invalid request."""

from http import HTTPStatus

from starlette.responses import JSONResponse, Response

PREFIX = "/v2"


def error_answer(status: HTTPStatus, message: str, headers: dict[str, str]) -> Response:
    """Return an error in the Open Inference Protocol's format."""
    if status is HTTPStatus.UNPROCESSABLE_ENTITY:
        status = HTTPStatus.BAD_REQUEST  # the only such status the protocol's clients handle
    return JSONResponse({"error": message}, status, headers)

"""The shape of errors below ``/v2``: ``{"error": "…"}``, and 400 for whatever does not fit."""

from http import HTTPStatus

from starlette.responses import JSONResponse, Response

PREFIX = "/v2"


def error_answer(status: HTTPStatus, message: str, headers: dict[str, str]) -> Response:
    """Return an error as the Open Inference Protocol has it."""
    if status is HTTPStatus.UNPROCESSABLE_ENTITY:
        status = HTTPStatus.BAD_REQUEST  # the protocol's clients know no other
    return JSONResponse({"error": message}, status, headers)

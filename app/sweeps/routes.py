"""``/v1/sweeps``."""

import hashlib
import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import ValidationError

from app.contracts.complaints import complaints, refusal
from app.contracts.errors import ConflictError, InvalidInputError
from app.dependencies import Context, ContextDep, PrincipalDep
from app.http.problems import NOT_MODIFIED, RESPONSES
from app.idempotency import idempotency_key
from app.listing import add_list
from app.openapi import IDEMPOTENCY_KEY, reference
from app.records.sweeps import is_judging
from app.records.tables import SweepTableRow
from app.sweeps import service
from app.sweeps.picture import draw_pareto
from app.sweeps.schemas import Sweep, SweepCreate, SweepDetail
from app.sweeps.table import make_table
from app.text import without_mark

router = APIRouter(prefix="/v1/sweeps", tags=["sweeps"], responses=RESPONSES)

_RETRY_AFTER_SECONDS = "5"
_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "The picture.", "content": {"image/svg+xml": {}}},
    **NOT_MODIFIED,
}
_BODY = {
    "parameters": [IDEMPOTENCY_KEY],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": reference(SweepCreate)}},
    },
}


@router.post("", status_code=202, response_model=Sweep, openapi_extra=_BODY)
async def create(request: Request, context: ContextDep, principal: PrincipalDep) -> Response:
    """Create a pruning job for every point of a grid, and later train the best points."""
    principal.require("jobs:write")
    body = await _parse(request)
    key = idempotency_key(request, principal.tenant, body.model_dump_json())
    sweep_id, answer = await run_in_threadpool(service.create, context, key, body)
    headers = {"Location": f"/v1/sweeps/{sweep_id}", "Retry-After": _RETRY_AFTER_SECONDS}
    return Response(answer, 202, headers, media_type="application/json")


add_list(
    router,
    SweepTableRow,
    name="list_sweeps",
    description="List sweeps, newest first.",
    scope="jobs:read",
    query=service.of_tenant,
    show=service.show_all,
)


@router.get("/{sweep_id}", response_model=SweepDetail, responses=NOT_MODIFIED)
def read(
    sweep_id: str,
    context: ContextDep,
    principal: PrincipalDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Read a sweep with its table."""
    principal.require("jobs:read")
    detail = _detail(context, principal.tenant, sweep_id)
    body = detail.model_dump_json()
    headers = {"ETag": _etag(body.encode())}
    if detail.status == "running":
        headers["Retry-After"] = _RETRY_AFTER_SECONDS
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, media_type="application/json")


@router.get("/{sweep_id}/pareto.svg", response_class=Response, responses=_PICTURE)
def picture(
    sweep_id: str,
    context: ContextDep,
    principal: PrincipalDep,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Draw quality against MACs and against latency."""
    principal.require("jobs:read")
    table = _detail(context, principal.tenant, sweep_id).table
    if all(row.value is None for row in table):
        raise ConflictError("no job of the sweep has a result to draw yet")
    data = draw_pareto(table)
    headers = {"ETag": _etag(data), "X-Content-Type-Options": "nosniff"}
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(data, 200, headers, media_type="image/svg+xml")


@router.post("/{sweep_id}/cancel")
def cancel(sweep_id: str, context: ContextDep, principal: PrincipalDep) -> SweepDetail:
    """Cancel every unfinished job of a sweep."""
    principal.require("jobs:write")
    service.cancel(context, principal.tenant, sweep_id)
    return _detail(context, principal.tenant, sweep_id)


async def _parse(request: Request) -> SweepCreate:
    """Return the sweep in a request's JSON.

    Pydantic parses the text: Python's parser accepts lone surrogates and any depth, which later
    fail to serialize.

    Raises:
        InvalidInputError: The JSON is not a valid sweep.
    """
    try:
        body = SweepCreate.model_validate_json(without_mark(await request.body()))
    except ValidationError as error:
        raise refusal(complaints(error, SweepCreate)) from error
    try:
        json.dumps(body.model_dump(), allow_nan=False)  # PostgreSQL takes no NaN as JSON
    except ValueError as error:
        raise InvalidInputError(
            f"the body holds a number that is not valid JSON: {error}"
        ) from error
    return body


def _detail(context: Context, tenant: str, sweep_id: str) -> SweepDetail:
    row, points = service.read(context, tenant, sweep_id)
    counts: dict[str, int] = {}
    for _, job in points:
        counts[job.state] = counts.get(job.state, 0) + 1
    sweep = service.to_sweep(row, counts)
    train = "front" if any(is_judging(job) for _, job in points) else "all"
    return SweepDetail(**sweep.model_dump(), train=train, table=make_table(points))


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'

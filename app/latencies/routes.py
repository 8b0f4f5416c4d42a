"""``/v1/latencies``, and what a device needs to measure them."""

from importlib.resources import files
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from sqlalchemy import Select

from app.contracts.errors import ConflictError
from app.dependencies import ContextDep, PrincipalDep
from app.http.headers import attachment
from app.http.limits import LATENCIES_FILE, OPEN, limits
from app.http.problems import RESPONSES
from app.idempotency import idempotency_key
from app.latencies import service
from app.latencies.schemas import DeviceLatencies, to_latencies
from app.listing import Narrow, add_list
from app.models import service as models
from app.models.routes import UPLOAD_BODY, Filename, Name
from app.paging import Search
from app.query import Permanent
from app.quotas.dependencies import UPLOAD_SLOT, reserved
from app.records.database import reading
from app.records.tables import LatenciesRow
from app.uploads import receive_upload

router = APIRouter(prefix="/v1", tags=["latencies"], responses=RESPONSES)
rows = APIRouter(prefix="/v1/latencies", tags=["latencies"], responses=RESPONSES)

SCRIPT = "secateur_bench.py"
_BINARY: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The file.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_SCRIPT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The script.", "content": {"text/x-python": {}}}
}


@router.get(f"/{SCRIPT}", response_class=Response, responses=_SCRIPT)
@limits(OPEN)
def script() -> Response:
    """Download the script that measures layers on a device; it needs numpy and a runtime."""
    text = files("secateur").joinpath(SCRIPT).read_bytes()
    return Response(
        text, media_type="text/x-python", headers={"Content-Disposition": attachment(SCRIPT)}
    )


@router.get("/models/{model_id}/bench")
def bench(
    model_id: str, context: ContextDep, principal: PrincipalDep, response: Response
) -> dict[str, Any]:
    """Download the layers of a model for a device to measure; the script reads this file."""
    principal.require("models:read")
    with reading(context.sessions) as session:
        row = models.find(session, principal.tenant, model_id)
    response.headers["Content-Disposition"] = attachment(f"{row.name}.bench")
    return {"model": row.id, "name": row.name, **service.bench_of(row).model_dump(mode="json")}


@router.get("/models/{model_id}/onnx", response_class=Response, responses=_BINARY)
def onnx(model_id: str, context: ContextDep, principal: PrincipalDep) -> Response:
    """Download the ONNX file of a model, as it is served."""
    principal.require("models:read")
    with reading(context.sessions) as session:
        row = models.find(session, principal.tenant, model_id)
    if row.onnx_sha256 is None:
        raise ConflictError(f"model {row.id} is {row.status}: there is no ONNX file")
    headers = {
        "ETag": f'"sha256-{row.onnx_sha256}"',
        "Content-Disposition": attachment(f"{row.name}.onnx"),
    }
    chunks = context.store.stream(row.onnx_sha256)
    return StreamingResponse(chunks, 200, headers, media_type="application/octet-stream")


@rows.post(
    "",
    status_code=201,
    response_model=DeviceLatencies,
    openapi_extra=UPLOAD_BODY,
    dependencies=[UPLOAD_SLOT],
)
@limits(LATENCIES_FILE)
async def create(
    request: Request,
    context: ContextDep,
    principal: PrincipalDep,
    name: Name = None,
    filename: Filename = None,
) -> Response:
    """Upload the CSV file that the script wrote, as the raw body or as the form field `file`."""
    principal.require("models:write")
    settings = context.settings
    limit = settings.limits.latencies_bytes
    query = ("name", "filename")
    async with (
        reserved(request, context, principal.tenant) as room,
        receive_upload(request, settings, limit, filename, "latencies", query, room=room) as upload,
    ):
        key = idempotency_key(request, principal.tenant, upload.sha256)
        latencies_id, body = await run_in_threadpool(service.upload, context, key, upload, name)
    headers = {"Location": f"/v1/latencies/{latencies_id}"}
    return Response(body, 201, headers, media_type="application/json")


def _narrow(search: Search = None) -> Narrow:
    def narrowed(query: "Select[Any]") -> "Select[Any]":
        if search is None:
            return query
        return query.where(LatenciesRow.name.icontains(search, autoescape=True))

    return narrowed


add_list(
    rows,
    LatenciesRow,
    name="list_latencies",
    description="List latencies, newest first.",
    scope="models:read",
    query=service.of_tenant,
    show=lambda _, found: [to_latencies(row) for row in found],
    narrow=_narrow,
)


@rows.get("/{latencies_id}")
def read(latencies_id: str, context: ContextDep, principal: PrincipalDep) -> DeviceLatencies:
    """Read what was measured on which device."""
    principal.require("models:read")
    with reading(context.sessions) as session:
        return to_latencies(service.find(session, principal.tenant, latencies_id))


@rows.delete("/{latencies_id}", status_code=204)
def delete(
    latencies_id: str,
    context: ContextDep,
    principal: PrincipalDep,
    permanent: Permanent = False,  # noqa: FBT002  # a query parameter
) -> None:
    """Delete latencies that no unfinished job uses; `restore` undoes it for a time."""
    principal.require("models:write")
    service.delete(context, principal.tenant, latencies_id, is_permanent=permanent)


@rows.post("/{latencies_id}/restore")
def restore(latencies_id: str, context: ContextDep, principal: PrincipalDep) -> DeviceLatencies:
    """Undo the deletion of latencies."""
    principal.require("models:write")
    return to_latencies(service.restore(context, principal.tenant, latencies_id))

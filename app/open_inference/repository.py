"""``/v2/repository``: list, load and unload versions.

Clients send bodies without a Content-Type, or no body.
"""

from typing import Any

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import func, select

from app.contracts.errors import InvalidInputError
from app.dependencies import Context, ContextDep, PrincipalDep
from app.inference.service import InferenceService
from app.open_inference.routes import load
from app.open_inference.schemas import RESPONSES, IndexEntry
from app.records.database import reading
from app.records.tables import ModelRow
from app.registry.resolve import Registry

router = APIRouter(prefix="/v2/repository", tags=["open inference protocol"], responses=RESPONSES)

_STATES = {"ready": "READY", "validating": "LOADING"}
_OVERRIDES = ("config", "file:")


def _body_of(properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return {"requestBody": {"content": {"application/json": {"schema": schema}}}}


_PARAMETERS = _body_of({"parameters": {"type": "object"}})


@router.post("/index", openapi_extra=_body_of({"ready": {"type": "boolean"}}))
async def index(request: Request, context: ContextDep, principal: PrincipalDep) -> list[IndexEntry]:
    """List all versions of all models; with ``{"ready": true}`` only ready ones."""
    principal.require("models:read")
    is_ready = (await _body(request)).get("ready", False)
    if type(is_ready) is not bool:
        raise InvalidInputError("'ready' must be true or false")
    return await run_in_threadpool(_index, context, principal.tenant, is_ready=is_ready)


@router.post("/models/{model}/load", response_class=Response, openapi_extra=_PARAMETERS)
async def load_model(request: Request, model: str, principal: PrincipalDep) -> Response:
    """Load a model's latest version into this API process ahead of the first request."""
    principal.require("admin")
    for name in await _parameters(request):
        if name.startswith(_OVERRIDES):
            raise InvalidInputError(f"parameter {name[:100]!r}: models cannot be overridden")
    await load(request, principal, model)
    return Response()


@router.post("/models/{model}/unload", response_class=Response, openapi_extra=_PARAMETERS)
async def unload_model(
    request: Request, model: str, context: ContextDep, principal: PrincipalDep
) -> Response:
    """Unload a model's sessions from this API process; the next request loads them again."""
    principal.require("admin")
    await _parameters(request)
    registry: Registry = request.app.state.registry
    service: InferenceService = request.app.state.inference
    choice = (await registry.choices(principal.tenant, model))[0]
    ids = [choice.model_id]
    if model == choice.name:
        ids = await run_in_threadpool(_ready_versions, context, principal.tenant, model)
    for model_id in ids:
        service.unload(await service.find(principal.tenant, model_id))
    return Response()


async def _parameters(request: Request) -> dict[str, Any]:
    found = (await _body(request)).get("parameters", {})
    if type(found) is not dict:
        raise InvalidInputError("'parameters' must be an object")
    return found


async def _body(request: Request) -> dict[str, Any]:
    data = await request.body()
    try:
        found = orjson.loads(data) if data.strip() else {}
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"the body is not JSON: {error}") from error
    if type(found) is not dict:
        raise InvalidInputError("the body must be a JSON object")
    return found


def _index(context: Context, tenant: str, *, is_ready: bool) -> list[IndexEntry]:
    query = (
        select(ModelRow.name, ModelRow.version, ModelRow.status)
        .where(ModelRow.tenant == tenant, ModelRow.deleted_at.is_(None))
        .order_by(ModelRow.name, func.length(ModelRow.version), ModelRow.version)
    )
    if is_ready:
        query = query.where(ModelRow.status == "ready")
    with reading(context.sessions) as session:
        return [
            IndexEntry(
                name=name,
                version=version,
                state=_STATES.get(status, "UNAVAILABLE"),
                reason="" if status == "ready" else f"the model is {status}",
            )
            for name, version, status in session.execute(query)
        ]


def _ready_versions(context: Context, tenant: str, name: str) -> list[str]:
    query = select(ModelRow.id).where(
        ModelRow.tenant == tenant,
        ModelRow.name == name,
        ModelRow.status == "ready",
        ModelRow.deleted_at.is_(None),
    )
    with reading(context.sessions) as session:
        return list(session.scalars(query))

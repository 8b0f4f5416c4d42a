"""``/v2`` without inference: health, metadata, configuration, statistics.

The protocol's clients accept only 200 as success.
"""

from fastapi import APIRouter, Request, Response

from app import health
from app.dependencies import ContextDep, PrincipalDep
from app.http.limits import OPEN, limits
from app.keys.service import Principal
from app.open_inference.descriptions import to_config, to_metadata
from app.open_inference.errors import PREFIX
from app.open_inference.schemas import (
    RESPONSES,
    ModelConfig,
    ModelMetadata,
    ModelStatistics,
    ServerMetadata,
)
from app.open_inference.statistics import Statistics
from app.registry.resolve import Choice, Registry
from app.serving.description import LoadedModel

router = APIRouter(prefix=PREFIX, tags=["open inference protocol"], responses=RESPONSES)

_EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
]


@router.get("")
@limits(OPEN)
async def server_metadata(request: Request) -> ServerMetadata:
    """Read the server's name, version and extensions; no key needed."""
    return ServerMetadata(name="secateur", version=request.app.version, extensions=_EXTENSIONS)


@router.get("/health/live", response_class=Response)
@limits(OPEN)
async def live() -> Response:
    """Return 200 while the process is alive; no key needed."""
    return Response()


@router.get("/health/ready", response_class=Response)
@limits(OPEN)
async def ready(request: Request, context: ContextDep) -> Response:
    """Return 200 if this process can answer requests, as `/readyz` says; no key needed."""
    await health.ready(request, context)
    return Response()


@router.get("/models/stats")
async def all_statistics(request: Request, principal: PrincipalDep) -> ModelStatistics:
    """Read the counts of all models since this API process started."""
    principal.require("infer")
    statistics: Statistics = request.app.state.statistics
    return ModelStatistics(model_stats=statistics.of_all(principal.tenant))


@router.get("/models/{model}")
async def model_metadata(request: Request, model: str, principal: PrincipalDep) -> ModelMetadata:
    """Read a model's inputs and outputs."""
    return await _metadata(request, principal, model)


@router.get("/models/{model}/versions/{version}")
async def version_metadata(
    request: Request, model: str, version: str, principal: PrincipalDep
) -> ModelMetadata:
    """Read the inputs and outputs of a version or alias; ``versions`` may list several."""
    return await _metadata(request, principal, model, version)


@router.get("/models/{model}/ready", response_class=Response)
async def model_ready(request: Request, model: str, principal: PrincipalDep) -> Response:
    """Return 200 if a model is ready; the first request may still have to load it."""
    return await _ready(request, principal, model)


@router.get("/models/{model}/versions/{version}/ready", response_class=Response)
async def version_ready(
    request: Request, model: str, version: str, principal: PrincipalDep
) -> Response:
    """Return 200 if a version is ready; the first request may still have to load it."""
    return await _ready(request, principal, model, version)


@router.get("/models/{model}/config")
async def model_config(request: Request, model: str, principal: PrincipalDep) -> ModelConfig:
    """Read a model's configuration, in Triton's terms."""
    return await _config(request, principal, model)


@router.get("/models/{model}/versions/{version}/config")
async def version_config(
    request: Request, model: str, version: str, principal: PrincipalDep
) -> ModelConfig:
    """Read a version's configuration, in Triton's terms."""
    return await _config(request, principal, model, version)


@router.get("/models/{model}/stats")
async def model_statistics(
    request: Request, model: str, principal: PrincipalDep
) -> ModelStatistics:
    """Read the counts of a model's versions since this API process started."""
    return await _statistics(request, principal, model)


@router.get("/models/{model}/versions/{version}/stats")
async def version_statistics(
    request: Request, model: str, version: str, principal: PrincipalDep
) -> ModelStatistics:
    """Read a version's counts since this API process started."""
    return await _statistics(request, principal, model, version)


async def load(
    request: Request, principal: Principal, model: str, version: str | None = None
) -> tuple[list[Choice], LoadedModel]:
    """Return the versions that a request may get, and the likeliest of them, loaded."""
    state = request.app.state
    choices = list(await state.registry.choices(principal.tenant, model, version))
    likeliest = max(choices, key=lambda choice: choice.weight)
    servable = await state.inference.find(principal.tenant, likeliest.model_id)
    return choices, await state.inference.describe(servable)


async def _metadata(
    request: Request, principal: Principal, model: str, version: str | None = None
) -> ModelMetadata:
    principal.require("infer")
    choices, loaded = await load(request, principal, model, version)
    return to_metadata(model, [choice.version for choice in choices], loaded)


async def _ready(
    request: Request, principal: Principal, model: str, version: str | None = None
) -> Response:
    principal.require("infer")
    registry: Registry = request.app.state.registry
    for choice in await registry.choices(principal.tenant, model, version):
        await request.app.state.inference.find(principal.tenant, choice.model_id)
    return Response()


async def _config(
    request: Request, principal: Principal, model: str, version: str | None = None
) -> ModelConfig:
    principal.require("infer")
    _, loaded = await load(request, principal, model, version)
    return to_config(model, loaded)


async def _statistics(
    request: Request, principal: Principal, model: str, version: str | None = None
) -> ModelStatistics:
    principal.require("infer")
    state = request.app.state
    choices = await state.registry.choices(principal.tenant, model, version)
    statistics: Statistics = state.statistics
    found = [statistics.of(principal.tenant, choice) for choice in choices]
    if version is None and model == choices[0].name:
        asked_for = statistics.of_name(principal.tenant, model)
        found += [other for other in asked_for if other["version"] != choices[0].version]
    return ModelStatistics(model_stats=found)

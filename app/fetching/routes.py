"""``/v1/models:fetch`` and ``/v1/datasets:fetch``."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field

from app.contracts.spec import ArchitectureSpec, PreprocessSpec
from app.datasets import service as datasets
from app.datasets.schemas import Dataset, parse_preprocess
from app.dependencies import ContextDep, PrincipalDep
from app.fetching.service import fetched
from app.http.problems import RESPONSES
from app.idempotency import idempotency_key
from app.models import service as models
from app.models.schemas import Model
from app.openapi import IDEMPOTENCY_KEY
from app.quotas.dependencies import UPLOAD_SLOT, reserved
from app.text import Line, NameText

router = APIRouter(prefix="/v1", tags=["fetching"], responses=RESPONSES)

_KEY: dict[str, Any] = {"parameters": [IDEMPOTENCY_KEY]}
Url = Annotated[
    Line,
    Field(
        min_length=1,
        max_length=2000,
        description="https://…; or s3://BUCKET/KEY or gs://BUCKET/KEY of a public object. Hosts "
        "with private addresses are refused, also after redirects.",
        examples=["https://example.org/net.pt2"],
    ),
]
Named = Annotated[NameText | None, Field(min_length=1, max_length=200)]


class _Fetch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    url: Url
    name: Named = None
    filename: Named = Field(default=None, description="Default: the last part of the URL's path.")


class ModelFetch(_Fetch):
    """A model at a URL."""

    architecture: ArchitectureSpec | None = Field(
        default=None, description="Architecture of a safetensors file."
    )


class DatasetFetch(_Fetch):
    """A data set at a URL."""

    preprocess: PreprocessSpec | str | None = Field(
        default=None, description="A preset's name, or how raw pixels become inputs."
    )


@router.post(
    "/models:fetch",
    status_code=201,
    response_model=Model,
    openapi_extra=_KEY,
    dependencies=[UPLOAD_SLOT],
)
async def fetch_model(
    request: Request, body: ModelFetch, context: ContextDep, principal: PrincipalDep
) -> Response:
    """Fetch a model from a URL; the answer comes when the file is stored."""
    principal.require("models:write")
    spec = body.architecture
    async with (
        reserved(request, context, principal.tenant) as room,
        fetched(
            request,
            principal.tenant,
            body.url,
            "model",
            filename=body.filename,
            room=room,
            architecture=None if spec is None else spec.name,
        ) as file,
    ):
        key = idempotency_key(request, principal.tenant, file.sha256, body.model_dump_json())
        created = await run_in_threadpool(models.upload, context, key, file, body.name, spec)
    return _created("models", *created)


@router.post(
    "/datasets:fetch",
    status_code=201,
    response_model=Dataset,
    openapi_extra=_KEY,
    dependencies=[UPLOAD_SLOT],
)
async def fetch_dataset(
    request: Request, body: DatasetFetch, context: ContextDep, principal: PrincipalDep
) -> Response:
    """Fetch a data set from a URL; the answer comes when the file is stored."""
    principal.require("datasets:write")
    how = body.preprocess
    spec = parse_preprocess(how if how is None or isinstance(how, str) else how.model_dump_json())
    async with (
        reserved(request, context, principal.tenant) as room,
        fetched(
            request, principal.tenant, body.url, "dataset", filename=body.filename, room=room
        ) as file,
    ):
        key = idempotency_key(request, principal.tenant, file.sha256, body.model_dump_json())
        created = await run_in_threadpool(datasets.upload, context, key, file, body.name, spec)
    return _created("datasets", *created)


def _created(collection: str, object_id: str, body: str) -> Response:
    headers = {"Location": f"/v1/{collection}/{object_id}"}
    return Response(body, 201, headers, media_type="application/json")

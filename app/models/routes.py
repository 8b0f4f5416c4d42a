"""``/v1/models``."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.contracts.errors import ConflictError
from app.contracts.spec import ArchitectureSpec
from app.dependencies import ContextDep, PrincipalDep
from app.http.limits import MODEL_FILE, limits
from app.http.problems import RESPONSES
from app.idempotency import idempotency_key
from app.listing import add_list, narrow_uploads
from app.models import service
from app.models.schemas import Model, ModelPatch, to_model
from app.openapi import CONTENT_DIGEST, IDEMPOTENCY_KEY
from app.query import Permanent
from app.quotas.dependencies import UPLOAD_SLOT, reserved
from app.records.database import reading
from app.records.tables import ModelRow
from app.text import Line, NameText
from app.uploads import receive_upload
from secateur.core.file_kinds import TAKEN

router = APIRouter(prefix="/v1/models", tags=["models"], responses=RESPONSES)

UPLOAD_BODY = {
    "parameters": [IDEMPOTENCY_KEY, CONTENT_DIGEST],
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "required": ["file"],
                }
            },
        },
    },
}
Name = Annotated[NameText | None, Query(min_length=1, max_length=200, examples=["resnet20"])]
Architecture = Annotated[
    str | None,
    Query(
        pattern=r"^(torchvision|timm)/[A-Za-z0-9_.]{1,100}$",
        description="Architecture of a safetensors file: torchvision/NAME or timm/NAME.",
        examples=["torchvision/resnet18"],
    ),
]
Filename = Annotated[Line | None, Query(max_length=200, examples=["model.pt2"])]


@router.post(
    "",
    status_code=201,
    response_model=Model,
    description=f"Upload a model as the raw body or as the form field `file`. {TAKEN['model']}",
    openapi_extra=UPLOAD_BODY,
    dependencies=[UPLOAD_SLOT],
)
@limits(MODEL_FILE)
async def create(  # noqa: PLR0913, PLR0917  # query parameters
    request: Request,
    context: ContextDep,
    principal: PrincipalDep,
    name: Name = None,
    filename: Filename = None,
    architecture: Architecture = None,
    num_classes: Annotated[int | None, Query(ge=1, le=1_000_000)] = None,
    in_channels: Annotated[int, Query(ge=1, le=1024)] = 3,
    image_size: Annotated[int, Query(ge=8, le=4096)] = 224,
) -> Response:
    """Upload a model as the raw body or as the form field ``file``."""
    principal.require("models:write")
    settings = context.settings
    limit = settings.limits.model_bytes
    query = ("name", "filename", "architecture", "num_classes", "in_channels", "image_size")
    async with (
        reserved(request, context, principal.tenant) as room,
        receive_upload(
            request, settings, limit, filename, "model", query, room=room, architecture=architecture
        ) as upload,
    ):
        key = idempotency_key(request, principal.tenant, upload.sha256)
        spec = None
        if architecture is not None:
            spec = ArchitectureSpec(
                name=architecture,
                num_classes=num_classes,
                in_channels=in_channels,
                image_size=image_size,
            )
        created = await run_in_threadpool(service.upload, context, key, upload, name, spec)
    model_id, body = created
    headers = {"Location": f"/v1/models/{model_id}"}
    return Response(body, 201, headers, media_type="application/json")


add_list(
    router,
    ModelRow,
    name="list_models",
    description="List models, newest first.",
    scope="models:read",
    query=service.of_tenant,
    show=lambda _, rows: [to_model(row) for row in rows],
    narrow=narrow_uploads(ModelRow),
)


@router.get("/{model_id}")
def read(model_id: str, context: ContextDep, principal: PrincipalDep) -> Model:
    """Read a model."""
    principal.require("models:read")
    with reading(context.sessions) as session:
        return to_model(service.find(session, principal.tenant, model_id))


@router.get("/{model_id}/report")
def report(model_id: str, context: ContextDep, principal: PrincipalDep) -> dict[str, Any]:
    """Read the intake report: operators, channel groups, frozen groups and the reasons."""
    principal.require("models:read")
    with reading(context.sessions) as session:
        row = service.find(session, principal.tenant, model_id)
    if row.report is None:
        raise ConflictError(f"model {row.id} is {row.status}: there is no report")
    return row.report


@router.patch("/{model_id}")
def change(model_id: str, patch: ModelPatch, context: ContextDep, principal: PrincipalDep) -> Model:
    """Rename a model, or replace its tags or its metadata."""
    principal.require("models:write")
    return to_model(service.change(context, principal.tenant, model_id, patch))


@router.delete("/{model_id}", status_code=204)
def delete(
    model_id: str,
    context: ContextDep,
    principal: PrincipalDep,
    permanent: Permanent = False,  # noqa: FBT002  # a query parameter
) -> None:
    """Delete a model that no unfinished job uses; `restore` undoes it for a time."""
    principal.require("models:write")
    service.delete(context, principal.tenant, model_id, is_permanent=permanent)


@router.post("/{model_id}/restore")
def restore(model_id: str, context: ContextDep, principal: PrincipalDep) -> Model:
    """Undo the deletion of a model."""
    principal.require("models:write")
    return to_model(service.restore(context, principal.tenant, model_id))

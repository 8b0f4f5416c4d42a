"""``/v1/datasets``."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.datasets import service
from app.datasets.schemas import (
    Dataset,
    DatasetCopy,
    DatasetPatch,
    ExampleList,
    parse_preprocess,
    to_dataset,
    to_examples,
)
from app.dependencies import ContextDep, PrincipalDep
from app.http.limits import DATASET_FILE, limits
from app.http.problems import RESPONSES
from app.idempotency import idempotency_key
from app.listing import add_list, narrow_uploads
from app.models.routes import UPLOAD_BODY, Filename, Name
from app.query import Permanent
from app.quotas.dependencies import UPLOAD_SLOT, reserved
from app.records.database import reading
from app.records.tables import DatasetRow
from app.uploads import receive_upload
from secateur.core.file_kinds import TAKEN

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], responses=RESPONSES)

Preprocess = Annotated[
    str | None,
    Query(
        max_length=4096,
        description="How raw pixels become inputs: imagenet, unit, symmetric, from-data, or JSON; "
        "see /v1/schemas/preprocess.",
        examples=["imagenet", '{"mean": [0.286], "std": [0.353]}'],
    ),
]


@router.post(
    "",
    status_code=201,
    response_model=Dataset,
    description=f"Upload samples as the raw body or as the form field `file`. {TAKEN['dataset']}",
    openapi_extra=UPLOAD_BODY,
    dependencies=[UPLOAD_SLOT],
)
@limits(DATASET_FILE)
async def create(  # query parameters
    request: Request,
    context: ContextDep,
    principal: PrincipalDep,
    name: Name = None,
    filename: Filename = None,
    preprocess: Preprocess = None,
) -> Response:
    """Upload samples as the raw body or as the form field ``file``."""
    principal.require("datasets:write")
    spec = parse_preprocess(preprocess)
    settings = context.settings
    limit = settings.limits.dataset_bytes
    query = ("name", "filename", "preprocess")
    async with (
        reserved(request, context, principal.tenant) as room,
        receive_upload(request, settings, limit, filename, "dataset", query, room=room) as upload,
    ):
        key = idempotency_key(request, principal.tenant, upload.sha256)
        created = await run_in_threadpool(service.upload, context, key, upload, name, spec)
    dataset_id, body = created
    headers = {"Location": f"/v1/datasets/{dataset_id}"}
    return Response(body, 201, headers, media_type="application/json")


add_list(
    router,
    DatasetRow,
    name="list_datasets",
    description="List data sets, newest first.",
    scope="datasets:read",
    query=service.of_tenant,
    show=lambda _, rows: [to_dataset(row) for row in rows],
    narrow=narrow_uploads(DatasetRow),
)


@router.get("/{dataset_id}")
def read(dataset_id: str, context: ContextDep, principal: PrincipalDep) -> Dataset:
    """Read a data set."""
    principal.require("datasets:read")
    with reading(context.sessions) as session:
        return to_dataset(service.find(session, principal.tenant, dataset_id))


@router.get("/{dataset_id}/examples")
def examples(dataset_id: str, context: ContextDep, principal: PrincipalDep) -> ExampleList:
    """Read a few training images of a data set, as small PNG files; none of other kinds of data."""
    principal.require("datasets:read")
    with reading(context.sessions) as session:
        row = service.find(session, principal.tenant, dataset_id)
        return to_examples(row.examples or [])


@router.post("/{dataset_id}/copies", status_code=201, response_model=Dataset)
def copy(
    request: Request,
    dataset_id: str,
    body: DatasetCopy,
    context: ContextDep,
    principal: PrincipalDep,
) -> Response:
    """Make a data set of the same samples with other preprocessing, without another upload."""
    principal.require("datasets:write")
    key = idempotency_key(request, principal.tenant, body.model_dump_json())
    copy_id, answer = service.copy(context, key, dataset_id, body)
    headers = {"Location": f"/v1/datasets/{copy_id}"}
    return Response(answer, 201, headers, media_type="application/json")


@router.patch("/{dataset_id}")
def change(
    dataset_id: str, patch: DatasetPatch, context: ContextDep, principal: PrincipalDep
) -> Dataset:
    """Rename a data set, or replace its tags or its metadata."""
    principal.require("datasets:write")
    return to_dataset(service.change(context, principal.tenant, dataset_id, patch))


@router.delete("/{dataset_id}", status_code=204)
def delete(
    dataset_id: str,
    context: ContextDep,
    principal: PrincipalDep,
    permanent: Permanent = False,  # noqa: FBT002  # a query parameter
) -> None:
    """Delete a data set that no unfinished job uses; `restore` undoes it for a time."""
    principal.require("datasets:write")
    service.delete(context, principal.tenant, dataset_id, is_permanent=permanent)


@router.post("/{dataset_id}/restore")
def restore(dataset_id: str, context: ContextDep, principal: PrincipalDep) -> Dataset:
    """Undo the deletion of a data set."""
    principal.require("datasets:write")
    return to_dataset(service.restore(context, principal.tenant, dataset_id))

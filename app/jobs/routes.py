"""``/v1/jobs``."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import Field, ValidationError

from app.artifacts.archive import Member, stream_zip
from app.contracts.complaints import complaints, refusal
from app.contracts.errors import InvalidInputError, TooLargeError
from app.contracts.job import JobState
from app.contracts.spec import PruneConfig
from app.datasets.schemas import parse_preprocess
from app.dependencies import Context, ContextDep, PrincipalDep
from app.forms import FileRule, Form
from app.http.disconnect import wait_with_client
from app.http.headers import attachment
from app.http.limits import EVENTS, FILES_OF_A_JOB, limits
from app.http.problems import NOT_MODIFIED, RESPONSES
from app.idempotency import idempotency_key
from app.jobs import keeping, service
from app.jobs.lines import Standing
from app.jobs.schemas import (
    Artifact,
    Event,
    Job,
    JobCreate,
    JobLayers,
    JobPatch,
    to_artifact,
    to_event,
    to_job,
    to_layers,
)
from app.jobs.search import narrow
from app.keys.service import Principal
from app.listing import add_list
from app.openapi import IDEMPOTENCY_KEY, reference
from app.query import Permanent
from app.quotas.dependencies import FORM_SLOT, STREAM_SLOT, reserved
from app.records.tables import EventRow, JobRow
from app.spool import Upload
from app.text import without_mark
from app.uploads import (
    beginning_check,
    is_multipart,
    not_a_file,
    receive_files,
)
from secateur.core.file_kinds import FILE_SUFFIXES

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], responses=RESPONSES)

_POLL_SECONDS = 0.5
_EVENTS_AT_ONCE = 500
_MOST_NAME = 200
_TEXTS = ("config", "goal", "preprocess")
_LAST = 2**31 - 1  # the largest integer of both databases
_RETRY_AFTER_SECONDS = "2"
_ZIP: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The zip file.",
        "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_EVENT_STREAM = "text/event-stream"
_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {_EVENT_STREAM: {}}}}
Types = Annotated[
    Sequence[Annotated[str, Field(pattern=r"^[a-z.]{1,40}$")]],
    Query(
        alias="type",
        max_length=16,
        description="Only events of these types (`job.running`) or families (`job`).",
    ),
]
_BODY = {
    "parameters": [IDEMPOTENCY_KEY],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": reference(JobCreate)},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "model": {
                            "type": "string",
                            "format": "binary",
                            "description": "A file, or an id if the part has no filename.",
                        },
                        "dataset": {
                            "type": "string",
                            "format": "binary",
                            "description": "A file, or an id if the part has no filename.",
                        },
                        "config": {
                            "type": "string",
                            "description": "The config as JSON, with or without a filename.",
                        },
                        "goal": {
                            "type": "string",
                            "description": "A goal, in place of `config`.",
                        },
                        "preprocess": {
                            "type": "string",
                            "description": "A preset's name, or JSON.",
                        },
                    },
                    "required": ["model"],
                }
            },
        },
    },
}


@router.post("", status_code=202, response_model=Job, openapi_extra=_BODY, dependencies=[FORM_SLOT])
@limits(FILES_OF_A_JOB)
async def create(request: Request, context: ContextDep, principal: PrincipalDep) -> Response:
    """Post a job: ids and a config as JSON, or model, data set and config in one form."""
    principal.require("jobs:write")
    if is_multipart(request):
        principal.require("models:write")
        principal.require("datasets:write")
        limits = context.settings.limits
        files = {
            "model": FileRule(limits.model_bytes, beginning_check("model")),
            "dataset": FileRule(limits.dataset_bytes, beginning_check("dataset")),
        }
        async with (
            reserved(request, context, principal.tenant) as room,
            receive_files(request, context.settings, files, _TEXTS, room=room) as form,
        ):
            job_id, body = await _create_from_form(request, context, principal, form)
    else:
        job_id, body = await _create_from_json(request, context, principal)
    headers = {"Location": f"/v1/jobs/{job_id}", "Retry-After": _RETRY_AFTER_SECONDS}
    return Response(body, 202, headers, media_type="application/json")


add_list(
    router,
    JobRow,
    name="list_jobs",
    description="List jobs, newest first.",
    scope="jobs:read",
    query=service.of_tenant,
    show=lambda _, rows: [to_job(row) for row in rows],
    narrow=narrow,
)


@router.get("/{job_id}", response_model=Job, responses=NOT_MODIFIED)
async def read(  # query parameters and headers
    request: Request,
    job_id: str,
    context: ContextDep,
    principal: PrincipalDep,
    wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait for a change.")] = 0,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Read a job; with ``wait``, answer when its state or stage changes or the time is up."""
    principal.require("jobs:read")
    row, standing = await service.read(context, principal.tenant, job_id)
    if wait and not JobState(row.state).is_final:
        with context.quotas.waiting(principal.tenant):
            row, standing = await _wait_for_change(request, context, row, wait)
    return _job_response(row, standing, if_none_match)


async def _wait_for_change(
    request: Request, context: Context, row: JobRow, seconds: float
) -> tuple[JobRow, Standing | None]:
    """Return a job when its state or stage has changed, or the time is up.

    Raises:
        AbandonedError: The client has hung up.
    """
    seen, clock = (row.state, row.stage), asyncio.get_running_loop().time
    end = clock() + seconds
    while True:
        await wait_with_client(request, min(_POLL_SECONDS, max(0.0, end - clock())))
        row, standing = await service.read(context, row.tenant, row.id)
        if (row.state, row.stage) != seen or clock() >= end:
            return row, standing


@router.get(
    "/{job_id}/events",
    response_model=list[Event],
    responses=_EVENTS,
    dependencies=[STREAM_SLOT],
)
@limits(EVENTS)
async def events(  # noqa: PLR0913, PLR0917  # query parameters and headers
    request: Request,
    job_id: str,
    context: ContextDep,
    principal: PrincipalDep,
    after: Annotated[
        int, Query(ge=0, le=_LAST, description="Return events after this number.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=_EVENTS_AT_ONCE)] = 100,
    kinds: Types = (),
    last_event_id: Annotated[int | None, Header(ge=0, le=_LAST)] = None,
) -> Any:  # noqa: ANN401  # JSON, or a stream when the client asks for one
    """Read a job's events: JSON, or server-sent events with ``Accept: text/event-stream``."""
    principal.require("jobs:read")
    start = last_event_id if last_event_id is not None else after

    def look(after: int, limit: int) -> tuple[Sequence[EventRow], bool]:
        tenant = principal.tenant
        return service.events(context, tenant, job_id, after=after, limit=limit, types=kinds)

    found, _ = await run_in_threadpool(look, start, limit)
    if _EVENT_STREAM not in request.headers.get("accept", ""):
        return [to_event(row) for row in found]
    stream = _stream(request, context, principal, look, start)
    return StreamingResponse(stream, media_type=_EVENT_STREAM)


@router.post("/{job_id}/cancel")
def cancel(job_id: str, context: ContextDep, principal: PrincipalDep) -> Job:
    """Cancel an unfinished job."""
    principal.require("jobs:write")
    return to_job(service.cancel(context, principal.tenant, job_id))


@router.post("/{job_id}/pause")
def pause(job_id: str, context: ContextDep, principal: PrincipalDep) -> Job:
    """Save a job's state and free its worker; `resume` continues from there."""
    principal.require("jobs:write")
    return to_job(service.pause(context, principal.tenant, job_id))


@router.post("/{job_id}/resume")
def resume(job_id: str, context: ContextDep, principal: PrincipalDep) -> Job:
    """Queue a paused job again."""
    principal.require("jobs:write")
    return to_job(service.resume(context, principal.tenant, job_id))


@router.post("/{job_id}/retry")
def retry(job_id: str, context: ContextDep, principal: PrincipalDep) -> Job:
    """Queue a failed job again with all its attempts; it continues from its saved state, if any."""
    principal.require("jobs:write")
    return to_job(service.retry(context, principal.tenant, job_id))


@router.patch("/{job_id}")
def change(job_id: str, patch: JobPatch, context: ContextDep, principal: PrincipalDep) -> Job:
    """Change a job's name, tags or metadata."""
    principal.require("jobs:write")
    return to_job(keeping.change(context, principal.tenant, job_id, patch))


@router.delete("/{job_id}", status_code=204)
def delete(
    job_id: str,
    context: ContextDep,
    principal: PrincipalDep,
    permanent: Permanent = False,  # noqa: FBT002  # a query parameter
) -> None:
    """Delete an ended job; `restore` undoes it for a time. The model that it made stays."""
    principal.require("jobs:write")
    keeping.delete(context, principal.tenant, job_id, is_permanent=permanent)


@router.post("/{job_id}/restore")
def restore(job_id: str, context: ContextDep, principal: PrincipalDep) -> Job:
    """Undo the deletion of a job."""
    principal.require("jobs:write")
    return to_job(keeping.restore(context, principal.tenant, job_id))


@router.get("/{job_id}/layers")
def layers(job_id: str, context: ContextDep, principal: PrincipalDep) -> JobLayers:
    """Read what is removed from each layer and why, available once it is decided.

    Curves are thinned for drawing; ``report.json`` has the full curves.
    """
    principal.require("jobs:read")
    return to_layers(service.layers(context, principal.tenant, job_id))


@router.get("/{job_id}/artifacts")
def artifacts(job_id: str, context: ContextDep, principal: PrincipalDep) -> list[Artifact]:
    """List a job's artifacts."""
    principal.require("jobs:read")
    return [to_artifact(row) for row in service.artifacts(context, principal.tenant, job_id)]


@router.get("/{job_id}/artifacts.zip", response_class=Response, responses=_ZIP)
def artifacts_zip(job_id: str, context: ContextDep, principal: PrincipalDep) -> Response:
    """Download all of a job's artifacts as one zip file."""
    principal.require("jobs:read")
    rows = service.artifacts(context, principal.tenant, job_id)
    members = (Member(row.name, row.num_bytes, context.store.stream(row.sha256)) for row in rows)
    headers = {"Content-Disposition": attachment(f"{job_id}.zip")}
    return StreamingResponse(stream_zip(members), headers=headers, media_type="application/zip")


async def _create_from_json(
    request: Request, context: Context, principal: Principal
) -> tuple[str, str]:
    body, sent = await parse_job(request, context)
    key = idempotency_key(request, principal.tenant, json.dumps(sent, sort_keys=True))
    return await run_in_threadpool(service.create, context, key, body, sent)


async def parse_job(request: Request, context: Context) -> tuple[JobCreate, dict[str, Any]]:
    """Return the job in a request's JSON, and the JSON itself.

    Raises:
        TooLargeError: The body exceeds its limit.
        InvalidInputError: The JSON is not a valid job.
    """
    limit = context.settings.limits.json_bytes
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > limit:
            raise TooLargeError(f"the body has more than {limit} bytes, the limit for JSON")
    try:
        text = without_mark(bytes(data))
        body = JobCreate.model_validate_json(text)
    except ValidationError as error:
        raise refusal(complaints(error, JobCreate)) from error
    return body, json.loads(text)


async def _create_from_form(
    request: Request, context: Context, principal: Principal, form: Form
) -> tuple[str, str]:
    text = form.fields.get("config") or "{}"
    try:
        config = PruneConfig.model_validate_json(text)
    except ValidationError as error:
        raise refusal(complaints(error, PruneConfig, "/config")) from error
    goal = form.fields.get("goal", "").strip() or None
    try:
        wanted = JobCreate.model_validate({"model": "", "goal": goal, "config": config})
    except ValidationError as error:
        raise refusal(complaints(error, JobCreate)) from error
    preprocess = parse_preprocess(form.fields.get("preprocess"))
    sent = {"config": json.loads(text)}
    model, dataset = _given(form, "model"), _given(form, "dataset")
    if model is None:
        raise InvalidInputError("the form has no part 'model'; send a file or a model's id")
    named = [item if isinstance(item, str) else item.sha256 for item in (model, dataset) if item]
    named += [text, goal or "", preprocess.model_dump_json()]
    key = idempotency_key(request, principal.tenant, *named)
    if isinstance(dataset, str) and "preprocess" in form.fields:
        raise InvalidInputError(
            "'preprocess' is only valid with an uploaded data set; a stored one has its own"
        )
    return await run_in_threadpool(
        service.create_from_files, context, key, model, dataset, wanted, sent, preprocess
    )


def _given(form: Form, name: str) -> Upload | str | None:
    """Return a file, or the id sent in its place."""
    text = form.fields.get(name, "").strip()
    if text.startswith("@") or text.lower().endswith(FILE_SUFFIXES):
        raise not_a_file(name, text)
    if len(text) > _MOST_NAME:
        raise InvalidInputError(
            f"{name!r} of the form is text of more than {_MOST_NAME} characters"
        )
    return form.files.get(name) or text or None


def _job_response(row: JobRow, standing: Standing | None, if_none_match: str | None) -> Response:
    body = to_job(row, standing).model_dump_json()
    headers = {"ETag": f'"{hashlib.sha256(body.encode()).hexdigest()[:32]}"'}
    if not JobState(row.state).is_final:
        headers["Retry-After"] = _RETRY_AFTER_SECONDS
    if if_none_match == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return Response(body, 200, headers, media_type="application/json")


async def _stream(
    request: Request,
    context: Context,
    principal: Principal,
    read: Callable[[int, int], tuple[Sequence[EventRow], bool]],
    after: int,
) -> AsyncIterator[str]:
    """Yield server-sent events until the job has ended and all events are sent.

    Ends early when the key, which is checked repeatedly, becomes invalid.
    """
    while not await request.is_disconnected():
        if not await run_in_threadpool(context.keys.is_still_good, principal):
            return
        found, is_over = await run_in_threadpool(read, after, _EVENTS_AT_ONCE)
        for row in found:
            after = row.number
            event = to_event(row)
            yield f"id: {event.number}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
        if is_over:
            return
        if not found:
            await asyncio.sleep(_POLL_SECONDS)

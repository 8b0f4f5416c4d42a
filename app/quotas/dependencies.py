"""What the routes of long requests hold until the response is sent: slots and storage."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool

from app.dependencies import Context, ContextDep, PrincipalDep
from app.http.limits import ENVELOPE_BYTES
from app.idempotency import was_used
from app.quotas.incoming import Room
from app.uploads import is_multipart


async def _upload(context: ContextDep, principal: PrincipalDep) -> AsyncIterator[None]:
    with context.quotas.upload(principal.tenant):
        yield


async def _form(
    request: Request, context: ContextDep, principal: PrincipalDep
) -> AsyncIterator[None]:
    if not is_multipart(request):
        yield
        return
    with context.quotas.upload(principal.tenant):
        yield


async def _stream(
    request: Request, context: ContextDep, principal: PrincipalDep
) -> AsyncIterator[None]:
    if "text/event-stream" not in request.headers.get("accept", ""):
        yield
        return
    with context.quotas.stream(principal.tenant):
        yield


@asynccontextmanager
async def reserved(request: Request, context: Context, tenant: str) -> AsyncIterator[Room]:
    """Reserve storage for the files in a request's body, before the body is read.

    Raises:
        StorageQuotaError: The files exceed the tenant's storage quota.
        TooManyJobsError: Their intake jobs exceed the tenant's queue.
        TooManyUploadsError: The files exceed the tenant's bytes of unfinished uploads.
    """
    key = request.headers.get("idempotency-key")
    is_repeated = await run_in_threadpool(was_used, context.sessions, tenant, key)
    if not is_repeated:
        await run_in_threadpool(context.quotas.refuse_job_early, tenant)
    length = request.headers.get("content-length", "")
    declared = int(length) if length.isascii() and length.isdigit() else 0
    if is_multipart(request):
        declared = max(0, declared - ENVELOPE_BYTES)  # the rest is counted as it arrives
    incoming = context.quotas.incoming
    async with incoming.room(tenant, declared, is_repeated=is_repeated) as room:
        yield room


UPLOAD_SLOT = Depends(_upload)
FORM_SLOT = Depends(_form)  # for routes that also accept JSON
STREAM_SLOT = Depends(_stream)

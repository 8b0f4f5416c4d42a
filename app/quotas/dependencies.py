"""Dependencies of long requests' routes: a slot, held until the response is sent."""

from collections.abc import AsyncIterator

from fastapi import Depends, Request

from app.dependencies import ContextDep, PrincipalDep
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


UPLOAD_SLOT = Depends(_upload)
FORM_SLOT = Depends(_form)  # for routes that also accept JSON
STREAM_SLOT = Depends(_stream)

"""What routes ask for: the parts the lifespan made, and who is asking."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from app.contracts.database import Sessions
from app.contracts.errors import UnauthenticatedError
from app.contracts.settings import Settings
from app.contracts.storage import ObjectStore
from app.jobs.lines import Lines
from app.jobs.reader import JobReader
from app.keys.cache import KeyCache
from app.keys.service import ADMIN, Principal
from app.queue import JobQueue

DEFAULT_TENANT = "default"


@dataclass(frozen=True)
class Context:
    """The parts of the service that requests share."""

    settings: Settings
    sessions: Sessions
    store: ObjectStore
    queue: JobQueue
    lines: Lines
    job_reader: JobReader
    keys: KeyCache


async def get_context(request: Request) -> Context:
    """Return what the lifespan made."""
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(get_context)]
_bearer = HTTPBearer(auto_error=False, description="A key such as sec_<id>_<secret>.")


async def get_principal(
    context: ContextDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    """Return who is asking.

    Raises:
        UnauthenticatedError: No key, or not a valid one.
    """
    if not context.settings.api.is_auth_required:
        return Principal(DEFAULT_TENANT, frozenset({ADMIN}))
    if credentials is None:
        raise UnauthenticatedError("send an API key: Authorization: Bearer sec_…")
    key = credentials.credentials
    known = context.keys.recall(key)
    return known if known is not None else await run_in_threadpool(context.keys.look_up, key)


PrincipalDep = Annotated[Principal, Depends(get_principal)]

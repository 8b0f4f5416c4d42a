"""FastAPI dependencies: the parts created by the lifespan, and the authenticated caller."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import Scope

from app.contracts.errors import UnauthenticatedError
from app.contracts.settings import Settings
from app.doorbell import JobQueue
from app.http.callers import caller_of
from app.http.headers import find_header
from app.jobs.lines import Lines
from app.jobs.reader import JobReader
from app.keys.cache import KeyCache
from app.keys.no_auth import refuse_remote
from app.keys.scopes import ADMIN, OPERATOR
from app.keys.service import DEFAULT_TENANT, Principal
from app.keys.wrong import address_of
from app.objects.storage import ObjectStore
from app.quotas.service import Quotas
from app.records.database import Sessions


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
    quotas: Quotas


async def get_context(request: Request) -> Context:
    """Return the parts created by the lifespan."""
    context: Context = request.app.state.context
    return context


ContextDep = Annotated[Context, Depends(get_context)]
_bearer = HTTPBearer(auto_error=False, description="A key such as sec_<id>_<secret>.")


async def get_principal(
    request: Request,
    context: ContextDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Principal:
    """Return the caller, identified by the request's bearer key."""
    key = credentials.credentials if credentials is not None else None
    return await identify(context, request.scope, key)


async def identify(context: Context, scope: Scope, key: str | None) -> Principal:
    """Return the caller and count the request toward the tenant's rate.

    `app.http.gate` asks before the body is read; routes get the same caller.

    Raises:
        UnauthenticatedError: The key is missing or invalid.
        WrongKeysError: The client's address has sent too many wrong keys.
        ForbiddenError: In no-auth mode, the request is not from this machine.
        RateLimitedError: The tenant exceeded its request rate.
    """
    known = caller_of(scope)
    if known is not None:
        return cast("Principal", known)
    api = context.settings.api
    if not api.is_auth_required:
        refuse_remote(scope, api.cors_origins)
        principal = Principal(DEFAULT_TENANT, frozenset({ADMIN, OPERATOR}))
    elif key is None:
        raise UnauthenticatedError("send an API key: Authorization: Bearer sec_…")
    else:
        principal = await context.keys.find(key, address_of(scope))
    context.quotas.admit(principal.tenant)
    return principal


def bearer_key(scope: Scope) -> str | None:
    """Return the key in a request."""
    kind, _, key = str(find_header(scope, b"authorization") or b"", "latin-1").partition(" ")
    return key.strip() if kind.lower() == "bearer" else None


PrincipalDep = Annotated[Principal, Depends(get_principal)]

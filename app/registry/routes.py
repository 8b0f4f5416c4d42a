"""``/v1/models/{name}/aliases``."""

from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from app.dependencies import ContextDep, PrincipalDep
from app.http.problems import RESPONSES
from app.records.database import reading
from app.records.tables import AliasRow
from app.registry import service
from app.registry.schemas import Alias, AliasList, AliasName, AliasPut, Name, to_alias

router = APIRouter(prefix="/v1/models/{name}/aliases", tags=["registry"], responses=RESPONSES)

_ETAG = {"ETag": {"schema": {"type": "string"}, "description": "For If-Match."}}
IfMatch = Annotated[
    str | None, Header(max_length=1000, description="ETag of the replaced state, or *.")
]
IfNoneMatch = Annotated[str | None, Header(max_length=1000, description="* to create only.")]


@router.get("")
def list_aliases(name: Name, context: ContextDep, principal: PrincipalDep) -> AliasList:
    """List the aliases of a name."""
    principal.require("models:read")
    with reading(context.sessions) as session:
        rows = service.list_all(session, principal.tenant, name)
    return AliasList(data=[to_alias(row) for row in rows])


@router.get("/{alias}", responses={200: {"headers": _ETAG}})
def read(
    name: Name, alias: AliasName, context: ContextDep, principal: PrincipalDep, response: Response
) -> Alias:
    """Read an alias. Changes must send its ETag in ``If-Match``."""
    principal.require("models:read")
    with reading(context.sessions) as session:
        row = service.find(session, principal.tenant, name, alias)
    return _answer(response, row)


@router.put(
    "/{alias}", responses={200: {"headers": _ETAG}, 201: {"model": Alias, "headers": _ETAG}}
)
def put(  # noqa: PLR0913, PLR0917  # headers
    request: Request,
    name: Name,
    alias: AliasName,
    body: AliasPut,
    context: ContextDep,
    principal: PrincipalDep,
    response: Response,
    if_match: IfMatch = None,
    if_none_match: IfNoneMatch = None,
) -> Alias:
    """Create an alias or switch it atomically; a switch requires ``If-Match``."""
    principal.require("models:write")
    key = (principal.tenant, name, alias)
    with context.sessions.begin() as session:
        row, is_new = service.put(session, key, body.targets, if_match, if_none_match)
    request.app.state.registry.forget(principal.tenant, name)
    response.status_code = 201 if is_new else 200
    return _answer(response, row)


@router.post("/{alias}/rollback", responses={200: {"headers": _ETAG}})
def roll_back(  # noqa: PLR0913, PLR0917  # headers
    request: Request,
    name: Name,
    alias: AliasName,
    context: ContextDep,
    principal: PrincipalDep,
    response: Response,
    if_match: IfMatch = None,
) -> Alias:
    """Point an alias at its previous target."""
    principal.require("models:write")
    with context.sessions.begin() as session:
        row = service.roll_back(session, (principal.tenant, name, alias), if_match)
    request.app.state.registry.forget(principal.tenant, name)
    return _answer(response, row)


@router.delete("/{alias}", status_code=204)
def delete(  # headers
    request: Request,
    name: Name,
    alias: AliasName,
    context: ContextDep,
    principal: PrincipalDep,
    if_match: IfMatch = None,
) -> None:
    """Remove an alias; its versions stay."""
    principal.require("models:write")
    with context.sessions.begin() as session:
        service.delete(session, (principal.tenant, name, alias), if_match)
    request.app.state.registry.forget(principal.tenant, name)


def _answer(response: Response, row: AliasRow) -> Alias:
    response.headers["ETag"] = service.etag(row)
    return to_alias(row)

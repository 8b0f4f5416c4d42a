"""``/v1/keys``: the keys of a tenant, for its administrators."""

import structlog
from fastapi import APIRouter, Response
from sqlalchemy import select

from app.dependencies import ContextDep, PrincipalDep
from app.http.problems import RESPONSES
from app.keys import service
from app.keys.schemas import Key, KeyCreate, KeyList, NewKey, to_key
from app.keys.scopes import ADMIN
from app.paging import After, Limit, fetch_page
from app.records.database import current_time, reading
from app.records.tables import ApiKeyRow

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/keys", tags=["keys"], responses=RESPONSES)


@router.get("")
def list_keys(
    context: ContextDep, principal: PrincipalDep, limit: Limit = 20, after: After = None
) -> KeyList:
    """List the tenant's keys, without their secrets."""
    principal.require(ADMIN)
    with reading(context.sessions) as session:
        query = select(ApiKeyRow).where(ApiKeyRow.tenant == principal.tenant)
        rows, has_more = fetch_page(
            session, query, ApiKeyRow, limit=limit, after=after, order="desc"
        )
        now = current_time(session)
    return KeyList(
        data=[to_key(row, now, principal.key_id) for row in rows],
        has_more=has_more,
        next_after=rows[-1].id if has_more else None,
    )


@router.post("", status_code=201)
def create_key(
    body: KeyCreate, context: ContextDep, principal: PrincipalDep, response: Response
) -> NewKey:
    """Create a key of the same tenant. The answer alone contains its secret."""
    days = body.expires_in_days
    row, plaintext = service.grant_key(
        context.sessions,
        principal,
        name=body.name,
        scopes=body.scopes,
        expires_in_seconds=None if days is None else days * 86_400,
        most_keys=context.settings.quotas.keys,
    )
    log.info("key.created", created=row.id, scopes=row.scopes, key_id=principal.key_id)
    response.headers["Cache-Control"] = "no-store"
    return NewKey(**to_key(row, row.created_at, principal.key_id).model_dump(), key=plaintext)


@router.delete("/{key_id}")
def revoke_key(key_id: str, context: ContextDep, principal: PrincipalDep) -> Key:
    """Revoke a key permanently. Every API process refuses it within a second."""
    row, now = service.revoke_own(context.sessions, principal, key_id)
    log.info("key.revoked", revoked=row.id, key_id=principal.key_id)
    return to_key(row, now, principal.key_id)

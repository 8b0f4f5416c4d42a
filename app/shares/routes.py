"""``/v1/shares``: links that show a job's report without a key; create, list and revoke them."""

from collections.abc import Sequence
from typing import Annotated

import structlog
from fastapi import APIRouter, Query, Response
from sqlalchemy import Select
from sqlalchemy.orm import Session

from app.dependencies import ContextDep, PrincipalDep
from app.http.problems import RESPONSES
from app.listing import Narrow, add_list
from app.records.database import current_time
from app.records.tables import ShareRow
from app.shares import service
from app.shares.page import PREFIX
from app.shares.schemas import NewShare, Share, ShareCreate, to_share
from app.text import Line

log = structlog.get_logger(__name__)

router = APIRouter(prefix="/v1/shares", tags=["shares"], responses=RESPONSES)

JobWanted = Annotated[Line | None, Query(max_length=64, description="Only links of this job.")]


def _narrow(job: JobWanted = None) -> Narrow:
    def narrowed(query: "Select[ShareRow]") -> "Select[ShareRow]":
        return query if job is None else query.where(ShareRow.job_id == job)

    return narrowed


def _show(session: Session, rows: Sequence[ShareRow]) -> list[Share]:
    now = current_time(session)
    return [to_share(row, now) for row in rows]


add_list(
    router,
    ShareRow,
    name="list_shares",
    description="List links to reports, newest first, without their secrets.",
    scope="jobs:read",
    query=service.of_tenant,
    show=_show,
    narrow=_narrow,
)


@router.post("", status_code=201)
def create(
    body: ShareCreate, context: ContextDep, principal: PrincipalDep, response: Response
) -> NewShare:
    """Create a link that shows the report of a job to anyone who has it, for a time.

    The answer alone contains the link. The key that creates it may be revoked: the link stays.
    """
    principal.require("jobs:write")
    settings, days = context.settings.shares, body.expires_in_days
    row, token = service.create(context.sessions, settings, principal, body.job, days)
    log.info("share.created", share=row.id, job_id=row.job_id, key_id=principal.key_id)
    response.headers["Cache-Control"] = "no-store"
    return NewShare(**to_share(row, row.created_at).model_dump(), url=f"{PREFIX}/{token}")


@router.delete("/{share_id}")
def revoke(share_id: str, context: ContextDep, principal: PrincipalDep) -> Share:
    """Revoke a link at once and for good."""
    principal.require("jobs:write")
    row, now = service.revoke(context.sessions, principal.tenant, share_id)
    log.info("share.revoked", share=row.id, job_id=row.job_id, key_id=principal.key_id)
    return to_share(row, now)

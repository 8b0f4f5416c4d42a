"""Links to reports in the database. Only a hash of a link's secret is stored.

A link is ``shr_<id>_<secret>``. It opens the report of one job, until it expires or is revoked, and
nothing else.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from typing import Literal

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from app.contracts.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from app.contracts.ids import new_id
from app.contracts.settings import ShareSettings
from app.jobs import service as jobs
from app.keys.service import Principal
from app.records.database import Sessions, current_time, reading
from app.records.lookup import owned
from app.records.tables import ArtifactRow, JobRow, ShareRow
from app.records.usage import hold_tenant

REPORT = "report.html"
_SECRET_BYTES = 32
_LINK = re.compile(r"(shr_[0-9A-Z]{26})_([A-Za-z0-9_-]{43})")
_DAY = 86_400.0

ShareState = Literal["valid", "expired", "revoked"]


def create(
    sessions: Sessions, settings: ShareSettings, principal: Principal, job_id: str, days: float
) -> tuple[ShareRow, str]:
    """Store a link to a job's report; return its row and the link's token, which is not stored.

    Raises:
        ForbiddenError: The operator has turned links off.
        NotFoundError: The job does not exist or belongs to another tenant.
        InvalidInputError: The link would be valid for longer than the settings allow.
        ConflictError: The job has no report, or as many links as it may have.
    """
    if not settings.are_allowed:
        raise ForbiddenError("links to reports are turned off on this service")
    if days > settings.most_days:
        raise InvalidInputError(
            f"expires_in_days is {days:g}, but a link is valid for at most {settings.most_days:g}"
        )
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    with sessions.begin() as session:
        hold_tenant(session, principal.tenant)
        job = jobs.find(session, principal.tenant, job_id)
        if find_report(session, job.id) is None:
            raise ConflictError(f"job {job.id} is {job.state} and has no {REPORT} to share")
        now = current_time(session)
        live = of_tenant(principal.tenant).where(
            ShareRow.job_id == job.id, ShareRow.revoked_at.is_(None), ShareRow.expires_at > now
        )
        number = session.scalar(select(func.count()).select_from(live.subquery())) or 0
        if number >= settings.most_per_job:
            raise ConflictError(
                f"job {job.id} has {number} links, as many as one may have; revoke one first"
            )
        row = ShareRow(
            id=new_id("shr"),
            tenant=principal.tenant,
            job_id=job.id,
            secret_sha256=_hash(secret),
            created_by=principal.key_id,
            created_at=now,
            expires_at=now + days * _DAY,
            revoked_at=None,
        )
        session.add(row)
    return row, f"{row.id}_{secret}"


def of_tenant(tenant: str) -> "Select[ShareRow]":
    """Return the query for a tenant's links."""
    return select(ShareRow).where(ShareRow.tenant == tenant)


def revoke(sessions: Sessions, tenant: str, share_id: str) -> tuple[ShareRow, float]:
    """Revoke a link for good; return its row and the time. Idempotent.

    Raises:
        NotFoundError: The link does not exist or belongs to another tenant.
    """
    with sessions.begin() as session:
        row = owned(session.get(ShareRow, share_id), tenant, "link", share_id)
        now = current_time(session)
        row.revoked_at = row.revoked_at or now
    return row, now


def state_of(row: ShareRow, now: float) -> ShareState:
    """Return whether a link works at a time of the database."""
    if row.revoked_at is not None:
        return "revoked"
    return "valid" if now < row.expires_at else "expired"


def open_link(sessions: Sessions, token: str) -> tuple[ShareRow, ArtifactRow]:
    """Return the link of a token and the report that it shows.

    Raises:
        NotFoundError: The token is wrong, the link has expired or is revoked, or its job or report
            is gone. Nobody can tell which.
    """
    match = _LINK.fullmatch(token)
    with reading(sessions) as session:
        row = None if match is None else session.get(ShareRow, match[1])
        expected = _hash("") if row is None else row.secret_sha256
        is_right = hmac.compare_digest(_hash("" if match is None else match[2]), expected)
        if row is not None and is_right and state_of(row, current_time(session)) == "valid":
            job = session.get(JobRow, row.job_id)
            report = find_report(session, row.job_id)
            if job is not None and job.deleted_at is None and report is not None:
                return row, report
    raise NotFoundError("this link does not work, or does not work any more")


def find_report(session: Session, job_id: str) -> ArtifactRow | None:
    """Return the report of a job, if it has one."""
    query = select(ArtifactRow).where(ArtifactRow.job_id == job_id, ArtifactRow.name == REPORT)
    found: Sequence[ArtifactRow] = session.scalars(query.limit(1)).all()
    return found[0] if found else None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

"""Tenants, derived from their keys and jobs, with what they use."""

from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy import func, select, union
from sqlalchemy.orm import Session

from app.contracts.job import LEASED, JobState
from app.contracts.tasks import QUEUES
from app.records.tables import ApiKeyRow, JobRow, ModelRow
from app.records.usage import compute_seconds, count_bytes

_WAITING = frozenset({JobState.VALIDATING, JobState.QUEUED, JobState.PAUSED})


@dataclass(frozen=True)
class TenantUse:
    """What a tenant uses now.

    Attributes:
        tenant: Name of the tenant.
        num_keys: Keys that are not revoked.
        num_waiting: Jobs that are queued, paused, or wait for their inputs.
        num_running: Jobs that a worker holds.
        stored_bytes: Size of uploads, files, events and results.
        compute_seconds: Compute time of today (UTC).
    """

    tenant: str
    num_keys: int
    num_waiting: int
    num_running: int
    stored_bytes: int
    compute_seconds: float


def list_tenants(
    session: Session, *, after: str = "", limit: int, undo_seconds: float = 0
) -> list[TenantUse]:
    """Return up to ``limit`` tenants with names above ``after``, in order."""
    names = union(
        *(select(row.tenant.label("tenant")).distinct() for row in (ApiKeyRow, JobRow, ModelRow))
    ).subquery()
    query = select(names.c.tenant).where(names.c.tenant > after).order_by(names.c.tenant)
    tenants = session.scalars(query.limit(limit)).all()
    keys = select(ApiKeyRow.tenant, func.count()).where(ApiKeyRow.revoked_at.is_(None))
    num_keys = {row[0]: row[1] for row in session.execute(keys.group_by(ApiKeyRow.tenant))}
    jobs: defaultdict[str, dict[str, int]] = defaultdict(dict)
    live = (
        select(JobRow.tenant, JobRow.state, func.count())
        .where(JobRow.queue.in_(QUEUES), JobRow.state.in_(_WAITING | LEASED))
        .group_by(JobRow.tenant, JobRow.state)
    )
    for tenant, state, number in session.execute(live):
        jobs[tenant][state] = number
    seconds = compute_seconds(session)
    return [
        TenantUse(
            tenant,
            num_keys.get(tenant, 0),
            sum(number for state, number in jobs[tenant].items() if state in _WAITING),
            sum(number for state, number in jobs[tenant].items() if state in LEASED),
            count_bytes(session, tenant, undo_seconds),
            round(seconds.get(tenant, 0.0), 1),
        )
        for tenant in tenants
    ]

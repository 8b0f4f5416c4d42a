"""What waits longer than it should: due webhooks, expired leases, and queues without a worker.

Read by `/metrics` and by `secateur doctor`.
"""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.contracts.tasks import QUEUES
from app.records.database import current_time
from app.records.events import PENDING
from app.records.reaping import list_expired
from app.records.tables import WebhookRow
from app.records.workers import list_present


@dataclass(frozen=True)
class Backlog:
    """What waits.

    Attributes:
        num_due_webhooks: Deliveries that could be sent now.
        oldest_webhook_seconds: Time for which the oldest of them has been due.
        num_expired_leases: Leases that nobody renewed or revoked.
        oldest_lease_seconds: Time for which the oldest of them has been expired.
        num_workers: Workers that report, by queue.
        num_resting: Those of them that take no jobs because they found trouble, by queue.
    """

    num_due_webhooks: int
    oldest_webhook_seconds: float
    num_expired_leases: int
    oldest_lease_seconds: float
    num_workers: dict[str, int]
    num_resting: dict[str, int]


def find_backlog(session: Session) -> Backlog:
    """Return what waits now."""
    now = current_time(session)
    is_due = WebhookRow.state == PENDING, WebhookRow.not_before <= now
    num_due = session.scalars(select(func.count()).where(*is_due)).one()
    since = session.scalar(select(func.min(WebhookRow.not_before)).where(*is_due))
    expired = list_expired(session)
    present = list_present(session)
    workers = {queue: [worker for worker in present if queue in worker.queues] for queue in QUEUES}
    return Backlog(
        num_due_webhooks=num_due,
        oldest_webhook_seconds=0.0 if since is None else now - since,
        num_expired_leases=len(expired),
        oldest_lease_seconds=expired[0].seconds if expired else 0.0,
        num_workers={queue: len(found) for queue, found in workers.items()},
        num_resting={
            queue: sum(worker.trouble is not None for worker in found)
            for queue, found in workers.items()
        },
    )

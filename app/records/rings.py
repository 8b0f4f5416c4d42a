"""Notify workers after commit about the jobs that a transaction queued.

A transaction records its queued jobs on the session. After the commit, once the connection is back
in its pool, workers are notified of each job; after a rollback none is. Only `app.records.jobs`
records jobs, and the process that owns the sessions supplies the notification.
"""

from collections.abc import Callable

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction

from app.records.database import Sessions

Ring = Callable[[str, str], None]  # a job's id and its queue

_NOTED, _IS_COMMITTED = "rings.noted", "rings.is_committed"


def note_ring(session: Session, job_id: str, queue: str) -> None:
    """Record a job whose workers are notified after the commit."""
    session.info.setdefault(_NOTED, []).append((job_id, queue))


def ring_after_commit(sessions: Sessions, ring: Ring) -> None:
    """Call ``ring`` for the jobs recorded in any committed transaction of ``sessions``.

    Args:
        sessions: The session factory.
        ring: Notifies workers. It must not raise, because the transaction is already committed.
    """

    def note_commit(session: Session) -> None:
        if not session.in_nested_transaction():  # the end of a savepoint commits nothing yet
            session.info[_IS_COMMITTED] = True

    def ring_all(session: Session, transaction: SessionTransaction) -> None:
        if transaction.parent is not None:
            return
        noted, is_committed = session.info.pop(_NOTED, ()), session.info.pop(_IS_COMMITTED, False)
        if is_committed:
            for job_id, queue in noted:
                ring(job_id, queue)

    event.listen(sessions, "after_commit", note_commit)
    event.listen(sessions, "after_transaction_end", ring_all)

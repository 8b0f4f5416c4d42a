"""Condition on the jobs that a worker may claim: not those that it failed, if others are there."""

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import Session

from app.records.tables import JobRow
from app.records.workers import list_present


def may_claim(session: Session, queue: str, owner: str) -> ColumnElement[bool]:
    """Return the condition on rows of `JobRow` that ``owner`` may claim.

    A job whose worker failed it for reasons of its own (`setbacks`) goes to another worker of the
    queue, if there is one that takes jobs and has not failed it as well.
    """
    others = [
        worker.name
        for worker in list_present(session)
        if queue in worker.queues and worker.is_claiming and worker.name != owner
    ]
    is_avoided_by_all = and_(*(_avoids(name) for name in (owner, *others)))
    return or_(JobRow.avoided_owners.is_(None), ~_avoids(owner), is_avoided_by_all)


def _avoids(owner: str) -> ColumnElement[bool]:
    return JobRow.avoided_owners.contains(f" {owner} ", autoescape=True)

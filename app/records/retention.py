"""Removes what has ended and is older than the settings keep.

Rows are deleted here; the bytes of files that no row needs any more are removed by the collection
of objects (`app.objects.garbage`). Each transaction removes one batch, so none is long.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, and_, delete, func, or_, select, tuple_
from sqlalchemy.orm import Session, aliased

from app.contracts.job import JobState
from app.contracts.settings import RetentionSettings
from app.records.database import Sessions, current_time, reading
from app.records.tables import (
    ArtifactRow,
    EventRow,
    IdempotencyRow,
    JobRow,
    ShareRow,
    SweepTableRow,
    WebhookRow,
)

_BATCH = 500
_DAY = 86_400.0
_FINAL = [state for state in JobState if state.is_final]


@dataclass(frozen=True)
class Removed:
    """Numbers of removed rows; in a dry run, of rows to remove.

    Events and files of removed jobs are not counted.
    """

    num_jobs: int = 0
    num_deleted_jobs: int = 0
    num_artifacts: int = 0
    num_events: int = 0
    num_idempotency_keys: int = 0


@dataclass(frozen=True)
class _Kind:
    """What ages.

    Attributes:
        seconds: Returns the age by the settings; None: these rows are kept.
        counted: Member of `Removed`.
        find: Returns a query of the keys of rows that are older than a time.
        remove: Removes rows by key.
    """

    seconds: Callable[[RetentionSettings], float | None]
    counted: str
    find: Callable[[float], Select[*tuple[Any, ...]]]
    remove: Callable[[Session, Sequence[Row[*tuple[Any, ...]]]], None]


def remove_old(
    sessions: Sessions, settings: RetentionSettings, *, is_dry_run: bool = False
) -> Removed:
    """Remove the rows that are older than the settings keep; concurrent runs are harmless."""
    with reading(sessions) as session:
        now = current_time(session)
    counts = {}
    for kind in _KINDS:
        seconds = kind.seconds(settings)
        if seconds is None:
            continue
        query = kind.find(now - seconds)
        counts[kind.counted] = (
            _count(sessions, query) if is_dry_run else _remove(sessions, kind, query)
        )
    return Removed(**counts)


def _count(sessions: Sessions, query: Select[*tuple[Any, ...]]) -> int:
    with reading(sessions) as session:
        return session.scalar(select(func.count()).select_from(query.subquery())) or 0


def _remove(sessions: Sessions, kind: _Kind, query: Select[*tuple[Any, ...]]) -> int:
    number = 0
    while True:
        with sessions.begin() as session:
            found = session.execute(query.limit(_BATCH)).all()
            if not found:
                return number
            kind.remove(session, found)
        number += len(found)


def _old_jobs(before: float) -> Select[*tuple[Any, ...]]:
    """Select ended jobs; those of a sweep only when its last job is old enough."""
    other = aliased(JobRow)
    is_younger = or_(other.state.not_in(_FINAL), other.finished_at >= before)
    is_needed = select(other.id).where(other.sweep_id == JobRow.sweep_id, is_younger).exists()
    return select(JobRow.id).where(_ended(before), or_(JobRow.sweep_id.is_(None), ~is_needed))


def _deleted_jobs(before: float) -> Select[*tuple[Any, ...]]:
    return select(JobRow.id).where(JobRow.deleted_at < before)


def _remove_jobs(session: Session, found: Sequence[Row[*tuple[Any, ...]]]) -> None:
    ids = [row[0] for row in found]
    sweeps = select(JobRow.sweep_id).where(JobRow.id.in_(ids), JobRow.sweep_id.is_not(None))
    sweep_ids = session.scalars(sweeps.distinct()).all()
    for table in (WebhookRow, EventRow, ArtifactRow, ShareRow):
        session.execute(delete(table).where(table.job_id.in_(ids)))
    session.execute(delete(JobRow).where(JobRow.id.in_(ids)))
    has_jobs = select(JobRow.id).where(JobRow.sweep_id == SweepTableRow.id).exists()
    session.execute(delete(SweepTableRow).where(SweepTableRow.id.in_(sweep_ids), ~has_jobs))


def _old_artifacts(before: float) -> Select[*tuple[Any, ...]]:
    query = select(ArtifactRow.id, ArtifactRow.job_id)
    return query.join(JobRow, JobRow.id == ArtifactRow.job_id).where(_ended(before))


def _remove_artifacts(session: Session, found: Sequence[Row[*tuple[Any, ...]]]) -> None:
    for job in session.scalars(select(JobRow).where(JobRow.id.in_({row[1] for row in found}))):
        if job.result is not None:
            job.result = {**job.result, "artifacts": []}
    session.execute(delete(ArtifactRow).where(ArtifactRow.id.in_([row[0] for row in found])))


def _old_events(before: float) -> Select[*tuple[Any, ...]]:
    query = select(EventRow.job_id, EventRow.number)
    return query.join(JobRow, JobRow.id == EventRow.job_id).where(
        _ended(before),
        EventRow.type.not_like("job.%"),  # clients that follow wait for the last of these
    )


def _remove_events(session: Session, found: Sequence[Row[*tuple[Any, ...]]]) -> None:
    key = tuple_(EventRow.job_id, EventRow.number)
    session.execute(delete(EventRow).where(key.in_([tuple(row) for row in found])))


def _old_idempotency_keys(before: float) -> Select[*tuple[Any, ...]]:
    query = select(IdempotencyRow.tenant, IdempotencyRow.key)
    return query.where(IdempotencyRow.created_at < before)


def _remove_idempotency_keys(session: Session, found: Sequence[Row[*tuple[Any, ...]]]) -> None:
    key = tuple_(IdempotencyRow.tenant, IdempotencyRow.key)
    session.execute(delete(IdempotencyRow).where(key.in_([tuple(row) for row in found])))


def _ended(before: float) -> Any:  # noqa: ANN401  # a condition
    return and_(JobRow.state.in_(_FINAL), JobRow.finished_at < before)


def _days(name: str) -> Callable[[RetentionSettings], float | None]:
    """Return a reader of a setting in days."""

    def seconds(settings: RetentionSettings) -> float | None:
        days: float | None = getattr(settings, name)
        return None if days is None else days * _DAY

    return seconds


def _undone(settings: RetentionSettings) -> float:
    """Return the seconds after which no deletion can be undone."""
    return settings.kept_deleted_seconds


_KINDS = (
    _Kind(_days("job_days"), "num_jobs", _old_jobs, _remove_jobs),
    _Kind(
        _undone,
        "num_deleted_jobs",
        _deleted_jobs,
        _remove_jobs,
    ),
    _Kind(_days("artifact_days"), "num_artifacts", _old_artifacts, _remove_artifacts),
    _Kind(_days("event_days"), "num_events", _old_events, _remove_events),
    _Kind(
        _days("idempotency_days"),
        "num_idempotency_keys",
        _old_idempotency_keys,
        _remove_idempotency_keys,
    ),
)

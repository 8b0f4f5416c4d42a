"""Retention: ended jobs go after the configured days, and everything else stays."""

from collections.abc import Iterator

import pytest
from sqlalchemy import func, select, update

from app.contracts.job import JobKind
from app.contracts.settings import RetentionSettings
from app.records import jobs, retention
from app.records.database import Sessions, create_database, create_sessions
from app.records.jobs import NewJob, SweepPlace
from app.records.retention import Removed, remove_old
from app.records.tables import (
    ArtifactRow,
    Base,
    DatasetRow,
    EventRow,
    IdempotencyRow,
    JobRow,
    ModelRow,
    SweepTableRow,
)
from tests.fixtures.databases import migrate
from tests.fixtures.shown import fill

ALL = RetentionSettings(job_days=10, artifact_days=10, event_days=10, idempotency_days=10)
DAY = 86_400.0


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = create_database(database_url)
    migrate(engine)
    sessions = create_sessions(engine)
    yield sessions
    engine.dispose()


def age(sessions: Sessions, days: float) -> None:
    """Make everything that exists older."""
    with sessions.begin() as session:
        for column in (JobRow.finished_at, IdempotencyRow.created_at):
            table = column.class_
            session.execute(update(table).values({column.key: column - days * DAY}))


def count(sessions: Sessions, table: type[Base]) -> int:
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def states(sessions: Sessions) -> list[str]:
    with sessions() as session:
        return sorted(session.scalars(select(JobRow.state)))


def test_old_jobs_go_with_all_they_have_and_models_stay(sessions: Sessions) -> None:
    fill(sessions)
    num_models, num_datasets = count(sessions, ModelRow), count(sessions, DatasetRow)
    settings = RetentionSettings(job_days=10)
    assert remove_old(sessions, settings) == Removed()
    age(sessions, 11)
    expected = remove_old(sessions, settings, is_dry_run=True)
    assert expected.num_jobs == 6
    assert remove_old(sessions, settings) == expected
    assert states(sessions) == ["paused", "queued", "running"]
    assert count(sessions, ArtifactRow) == count(sessions, SweepTableRow) == 0
    with sessions() as session:
        assert set(session.scalars(select(EventRow.job_id))) == set(
            session.scalars(select(JobRow.id))
        )
    assert (count(sessions, ModelRow), count(sessions, DatasetRow)) == (num_models, num_datasets)


def test_a_batch_is_not_the_end(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    fill(sessions)
    age(sessions, 11)
    removed = remove_old(sessions, ALL)
    assert removed.num_jobs == 6
    assert states(sessions) == ["paused", "queued", "running"]


def test_a_sweep_stays_until_its_last_job_is_old(sessions: Sessions) -> None:
    shown = fill(sessions)
    with sessions.begin() as session:
        new = NewJob(
            "default", JobKind.PRUNE, {}, {}, "cpu", 3, place=SweepPlace(shown.sweep, 3, {})
        )
        jobs.create_job(session, new)
    age(sessions, 11)
    assert remove_old(sessions, RetentionSettings(job_days=10)).num_jobs == 3
    assert count(sessions, SweepTableRow) == 1
    assert states(sessions).count("succeeded") == 3


def test_files_and_events_can_go_before_their_job(sessions: Sessions) -> None:
    shown = fill(sessions)
    age(sessions, 11)
    settings = RetentionSettings(artifact_days=10, event_days=10)
    expected = remove_old(sessions, settings, is_dry_run=True)
    assert expected.num_jobs == 0
    assert expected.num_artifacts == 3
    assert remove_old(sessions, settings) == expected
    assert remove_old(sessions, settings) == Removed()
    with sessions() as session:
        done = session.get_one(JobRow, shown.jobs["succeeded"])
        assert done.result is not None
        assert done.result["artifacts"] == []
        query = select(EventRow.type).where(EventRow.job_id == done.id).distinct()
        assert set(session.scalars(query)) == {"job.queued", "job.running", "job.succeeded"}
        running = select(EventRow.type).where(EventRow.job_id == shown.jobs["running"])
        assert any(not kind.startswith("job.") for kind in session.scalars(running))


def test_deleted_jobs_go_when_their_deletion_cannot_be_undone(sessions: Sessions) -> None:
    shown = fill(sessions)
    with sessions.begin() as session:
        for state in ("failed", "cancelled"):
            session.get_one(JobRow, shown.jobs[state]).deleted_at = jobs.current_time(session)
    settings = RetentionSettings(undo_days=2)
    assert remove_old(sessions, settings) == Removed()
    with sessions.begin() as session:
        row = session.get_one(JobRow, shown.jobs["failed"])
        row.deleted_at = jobs.current_time(session) - 2.1 * DAY
    assert remove_old(sessions, settings) == Removed(num_deleted_jobs=1)
    with sessions() as session:
        assert session.get(JobRow, shown.jobs["failed"]) is None
        assert session.get(JobRow, shown.jobs["cancelled"]) is not None


def test_idempotency_keys_are_remembered_for_a_week(sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.add(
            IdempotencyRow(
                tenant="t", key="k", fingerprint="f", created_at=jobs.current_time(session)
            )
        )
    assert remove_old(sessions, RetentionSettings()) == Removed()
    age(sessions, 8)
    assert remove_old(sessions, RetentionSettings()) == Removed(num_idempotency_keys=1)

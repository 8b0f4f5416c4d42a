"""Quotas on SQLite and PostgreSQL: usage is counted, and jobs over a limit wait."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.contracts.errors import ComputeQuotaError, StorageQuotaError, TooManyJobsError
from app.contracts.ids import new_id
from app.contracts.job import JobKind, JobState
from app.contracts.settings import QuotaSettings
from app.quotas.service import Quotas
from app.records import jobs, leases, usage
from app.records.database import Sessions, create_database, create_sessions, current_time
from app.records.jobs import NewJob
from app.records.line import Allowance
from app.records.tables import ArtifactRow, ComputeUseRow, DatasetRow, JobRow, ModelRow
from tests.fixtures.databases import migrate

NOTHING_LIMITED = Allowance(running_jobs=1000, compute_seconds=1e9)


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = create_database(database_url)
    migrate(engine)
    yield create_sessions(engine)
    engine.dispose()


def add_jobs(sessions: Sessions, tenant: str, number: int = 1, **changes: object) -> list[str]:
    values = {"kind": JobKind.PRUNE, "model_id": None, **changes}
    with sessions.begin() as session:
        new = NewJob(
            tenant=tenant, config={}, resolved={}, device="cpu", max_attempts=3, **values  # type: ignore[arg-type]
        )  # fmt: skip
        return [jobs.create_job(session, new).id for _ in range(number)]


def claim(sessions: Sessions, allowance: Allowance, queue: str = "cpu") -> str | None:
    with sessions.begin() as session:
        found = leases.claim_next(
            session, queue=queue, owner="w", lease_seconds=30, allowance=allowance
        )
        return None if found is None else found.job_id


def change(sessions: Sessions, job_id: str, **values: Any) -> None:
    with sessions.begin() as session:
        row = session.get_one(JobRow, job_id)
        for name, value in values.items():
            setattr(row, name, value)


def add_files(sessions: Sessions, tenant: str) -> None:
    """Store 1 + 10 bytes that count, artifacts of 100 bytes, and files that do not count."""
    with sessions.begin() as session:
        now = current_time(session)
        job = add_jobs_in(session, tenant)
        for num_bytes, deleted_at, job_id in ((1, None, None), (1000, now, None), (100, None, job)):
            session.add(
                ModelRow(
                    id=new_id("mdl"),
                    tenant=tenant,
                    name="net",
                    version="1",
                    status="ready",
                    format="pt2",
                    filename=None,
                    sha256="0" * 64,
                    num_bytes=num_bytes,
                    onnx_sha256=None,
                    parent_id=None,
                    job_id=job_id,
                    preprocess=None,
                    class_names=None,
                    report=None,
                    error=None,
                    meta={},
                    created_at=now,
                    deleted_at=deleted_at,
                )
            )
        session.add(
            DatasetRow(
                id=new_id("ds"),
                tenant=tenant,
                name="d",
                status="ready",
                format="npz",
                filename=None,
                sha256="1" * 64,
                num_bytes=10,
                preprocess={},
                summary=None,
                error=None,
                meta={},
                created_at=now,
                deleted_at=None,
            )
        )
        session.add(
            ArtifactRow(
                id=new_id("art"),
                tenant=tenant,
                job_id=job,
                name="a.onnx",
                media_type="b/c",
                sha256="2" * 64,
                num_bytes=100,
                created_at=now,
            )
        )


def add_jobs_in(session: Any, tenant: str) -> str:
    new = NewJob(
        tenant=tenant, kind=JobKind.PRUNE, config={}, resolved={}, device="cpu", max_attempts=3
    )
    return jobs.create_job(session, new).id


def test_stored_bytes_are_uploads_that_are_there_and_artifacts(sessions: Sessions) -> None:
    add_files(sessions, "a")
    add_files(sessions, "b")
    quotas = Quotas(QuotaSettings(stored_bytes=115), sessions)
    with sessions.begin() as session:
        assert usage.count_bytes(session, "a") == 111
        assert usage.count_bytes(session, "nobody") == 0
        quotas.refuse_upload(session, "a", 4)
        with pytest.raises(StorageQuotaError, match=r"111 of 115 bytes of storage.* 5 more"):
            quotas.refuse_upload(session, "a", 5)


def test_waiting_jobs_of_every_kind_count_and_those_of_others_do_not(sessions: Sessions) -> None:
    add_jobs(sessions, "a", 2)
    add_jobs(sessions, "b", 5)
    add_jobs(sessions, "a", kind=JobKind.INTAKE_MODEL)
    paused, running = add_jobs(sessions, "a", 2)
    change(sessions, paused, state="paused")
    change(sessions, running, state="running")
    quotas = Quotas(QuotaSettings(queued_jobs=6), sessions)
    with sessions.begin() as session:
        assert usage.count_waiting(session, "a") == 4
        assert usage.count_running(session, "a") == 1
        quotas.refuse_jobs(session, "a", 2)
        with pytest.raises(TooManyJobsError, match=r"4 jobs are queued .* 3 more .* limit of 6"):
            quotas.refuse_jobs(session, "a", 3)


def test_one_of_many_racing_requests_gets_the_last_slot(sessions: Sessions) -> None:
    add_jobs(sessions, "a", 2)
    quotas = Quotas(QuotaSettings(queued_jobs=3), sessions)

    def post(_: int) -> bool:
        try:
            with sessions.begin() as session:
                quotas.refuse_jobs(session, "a")
                add_jobs_in(session, "a")
        except TooManyJobsError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(post, range(8))) == 1


def test_a_tenant_with_enough_running_jobs_is_passed(sessions: Sessions) -> None:
    first, second, third = add_jobs(sessions, "a", 3)
    other = add_jobs(sessions, "b")[0]
    allowance = Allowance(running_jobs=2, compute_seconds=1e9)
    taken = {claim(sessions, allowance) for _ in range(3)}
    assert taken == {first, second, other}
    assert claim(sessions, allowance) is None
    with sessions.begin() as session:
        jobs.move(session, jobs.get_job(session, first), JobState.FAILED)
    assert claim(sessions, allowance) == third


def test_verdicts_are_never_held_back(sessions: Sessions) -> None:
    wanted = add_jobs(sessions, "a", 3, kind=JobKind.INTAKE_MODEL)
    nothing = Allowance(running_jobs=1, compute_seconds=0.0)
    assert {claim(sessions, nothing, "intake") for _ in range(3)} == set(wanted)


def test_compute_time_adds_up_over_attempts_and_ends_with_the_day(sessions: Sessions) -> None:
    first, second = add_jobs(sessions, "a", 2)
    assert claim(sessions, NOTHING_LIMITED) == first
    with sessions() as session:
        now = current_time(session)
    seconds_today = now % usage.SECONDS_A_DAY
    began = now - min(100.0, seconds_today)  # this test may run at midnight
    change(sessions, first, claimed_at=began)
    with sessions.begin() as session:
        running = usage.compute_seconds(session, "a")["a"]
        jobs.move(session, jobs.get_job(session, first), JobState.FAILED)
    with sessions.begin() as session:
        assert usage.compute_seconds(session)["a"] == pytest.approx(running, abs=30)
        assert usage.compute_seconds(session, "b") == {}
        usage.add_compute(session, "a", now - 10 * usage.SECONDS_A_DAY, now)
        found = usage.compute_seconds(session, "a")["a"]
        assert found == pytest.approx(running + seconds_today, abs=30)  # not ten days
        assert usage.next_midnight(session) > now
    with sessions.begin() as session:
        (row,) = session.query(ComputeUseRow).all()
        row.day -= 1
    with sessions.begin() as session:
        assert usage.compute_seconds(session, "a") == {}
    assert claim(sessions, NOTHING_LIMITED) == second


def test_used_up_compute_time_refuses_and_keeps_in_line(sessions: Sessions) -> None:
    job, other = add_jobs(sessions, "a")[0], add_jobs(sessions, "b")[0]
    with sessions.begin() as session:
        day = int(current_time(session) // usage.SECONDS_A_DAY)
        session.add(ComputeUseRow(day=day, tenant="a", seconds=50.0))
    quotas = Quotas(QuotaSettings(compute_seconds=50), sessions)
    with sessions.begin() as session:
        with pytest.raises(ComputeQuotaError, match=r"50 of 50 .* resets at .*T00:00:00Z"):
            quotas.refuse_jobs(session, "a")
        quotas.refuse_jobs(session, "b")
        quotas.refuse_upload(session, "a", 1)  # its verdict takes no time worth counting
    assert claim(sessions, Allowance(running_jobs=9, compute_seconds=50)) == other
    assert claim(sessions, Allowance(running_jobs=9, compute_seconds=50)) is None
    assert claim(sessions, Allowance(running_jobs=9, compute_seconds=51)) == job


def test_jobs_that_end_at_once_lose_no_compute_time(sessions: Sessions) -> None:
    def end(_: int) -> None:
        with sessions.begin() as session:
            now = current_time(session)
            usage.add_compute(session, "a", now - 1e-3, now)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(end, range(40)))
    with sessions() as session:
        assert session.query(ComputeUseRow).one().seconds == pytest.approx(0.04, rel=0.01)


def test_the_use_of_every_quota_can_be_read(sessions: Sessions) -> None:
    add_files(sessions, "a")
    add_jobs(sessions, "a", 2)
    settings = QuotaSettings(stored_bytes=1000, uploads=2, requests_per_second=10)
    quotas = Quotas(settings, sessions)
    quotas.admit("a")
    with quotas.upload("a"), quotas.stream("a"):
        found = quotas.read("a")
    # The share has no use of its own: it depends on what others hold.
    assert set(found) == QuotaSettings.model_fields.keys() - {"share"}
    assert (found["stored_bytes"].limit, found["stored_bytes"].used) == (1000, 111)
    assert (found["uploads"].used, found["event_streams"].used) == (1, 1)
    assert found["queued_jobs"].used == 3
    assert found["compute_seconds"].frees_at is not None
    assert quotas.read("b")["uploads"].used == 0

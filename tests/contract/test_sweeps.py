"""Sweeps on SQLite and PostgreSQL: all jobs or none, in order, once."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from app.contracts.errors import InvalidInputError
from app.contracts.ids import new_id
from app.contracts.job import JobKind
from app.contracts.settings import Settings
from app.dependencies import Context
from app.idempotency import IdempotencyKey
from app.jobs.lines import Lines
from app.jobs.reader import JobReader
from app.keys.cache import KeyCache
from app.objects.storage import open_store
from app.paging import fetch_page
from app.quotas.service import Quotas
from app.records import jobs, leases
from app.records.database import create_database, create_sessions, current_time
from app.records.jobs import NewJob
from app.records.outcomes import Outcome
from app.records.rings import ring_after_commit
from app.records.tables import EventRow, JobRow, ModelRow, SweepTableRow
from app.sweeps import service
from app.sweeps.schemas import SweepCreate
from tests.fixtures.api import RecordingQueue
from tests.fixtures.databases import migrate

NO_KEY = IdempotencyKey("t", None, "")
GRID = {"/selection/steepness": [2.0, 1.0], "/criterion/kind": ["l2", "l1"], "/seed": [1, 0]}


@pytest.fixture
def context(database_url: str, tmp_path: Path) -> Iterator[Context]:
    settings = Settings(data_dir=tmp_path)
    engine = create_database(database_url)
    migrate(engine)
    store = open_store(settings.storage_url, settings.storage)
    sessions, queue = create_sessions(engine), RecordingQueue()
    ring_after_commit(sessions, queue.ring)
    yield Context(
        settings,
        sessions,
        store,
        queue,
        Lines(sessions),
        JobReader(sessions),
        KeyCache(sessions),
        Quotas(settings.quotas, sessions),
    )
    engine.dispose()


def add_model(context: Context, status: str = "ready") -> str:
    with context.sessions.begin() as session:
        row = ModelRow(
            id=new_id("mdl"), tenant="t", name="net", version="1", status=status, format="pt2",
            filename=None, sha256="0" * 64, num_bytes=1, onnx_sha256=None, parent_id=None,
            job_id=None, preprocess=None, class_names=None, report=None, error=None, meta={},
            created_at=current_time(session), deleted_at=None,
        )  # fmt: skip
        session.add(row)
    return row.id


def num_rows(context: Context) -> tuple[int, ...]:
    with context.sessions() as session:
        tables = (SweepTableRow, JobRow, EventRow)
        return tuple(session.scalar(select(func.count()).select_from(t)) or 0 for t in tables)


def test_points_stay_in_the_order_they_were_sent(context: Context) -> None:
    body = SweepCreate(model=add_model(context), grid=GRID)
    sweep_id, _ = service.create(context, NO_KEY, body)
    row, points = service.read(context, "t", sweep_id)
    assert list(row.grid) == list(GRID), "the database keeps the order of keys"
    values = [tuple(point.values()) for point, _ in points]
    assert values == [(s, k, n) for s in (2.0, 1.0) for k in ("l2", "l1") for n in (1, 0)]
    assert num_rows(context) == (1, 8, 8)
    rings = context.queue.rings  # type: ignore[attr-defined]
    assert [job_id for job_id, _ in rings] == [job.id for _, job in points]


def test_a_failed_commit_stores_nothing_and_rings_no_worker(context: Context) -> None:
    body = SweepCreate(model=add_model(context), grid=GRID)

    def fail(_connection: object) -> None:
        raise OperationalError("COMMIT", {}, Exception("disk full"))

    engine = context.sessions.kw["bind"]
    event.listen(engine, "commit", fail)
    with pytest.raises(OperationalError, match="disk full"):
        service.create(context, NO_KEY, body)
    event.remove(engine, "commit", fail)
    assert num_rows(context) == (0, 0, 0)
    assert context.queue.rings == []  # type: ignore[attr-defined]


def test_concurrent_requests_with_one_key_get_the_same_sweep(context: Context) -> None:
    body = SweepCreate(model=add_model(context), grid=GRID)
    key = IdempotencyKey("t", "once", "f")
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: service.create(context, key, body), range(4)))
    assert len(set(found)) == 1
    assert num_rows(context) == (1, 8, 8)
    assert len(context.queue.rings) == 8  # type: ignore[attr-defined]
    assert json.loads(found[0][1])["counts"] == {"queued": 8}


def test_points_that_become_the_same_job_without_data_are_refused(context: Context) -> None:
    body = SweepCreate(model=add_model(context), grid={"/retrain/epochs": [1, 2]})
    with pytest.raises(InvalidInputError, match="two points give the same job"):
        service.create(context, NO_KEY, body)
    assert num_rows(context) == (0, 0, 0)


def test_a_list_counts_the_jobs_of_each_sweep(context: Context) -> None:
    model = add_model(context)
    ids = [
        service.create(context, NO_KEY, SweepCreate(model=model, grid={"/seed": [*range(n)]}))[0]
        for n in (1, 2, 3)
    ]
    service.cancel(context, "t", ids[1])
    service.cancel(context, "t", ids[1])  # twice is harmless
    with context.sessions() as session:
        rows, has_more = fetch_page(
            session, service.of_tenant("t"), SweepTableRow, limit=2, after=None, order="desc"
        )
        found = service.show_all(session, rows)
    assert has_more
    assert [(s.id, s.status, s.counts) for s in found] == [
        (ids[2], "running", {"queued": 3}), (ids[1], "cancelled", {"cancelled": 2}),
    ]  # fmt: skip


def test_an_intake_that_ends_during_a_post_releases_the_job(context: Context) -> None:
    model_id = add_model(context, "validating")
    with context.sessions.begin() as session:
        new = NewJob("t", JobKind.INTAKE_MODEL, {}, {}, "cpu", 3, model_id=model_id)
        intake = jobs.create_job(session, new).id
    with context.sessions.begin() as session:
        held = leases.claim(session, job_id=intake, owner="w", lease_seconds=30)
    assert held is not None

    def end_intake() -> None:
        with context.sessions.begin() as session:
            leases.finish(session, held, Outcome({}, {}, (), None, None))

    with context.sessions.begin() as session:
        new = NewJob("t", JobKind.PRUNE, {}, {}, "cpu", 3, model_id=model_id)
        job_id = jobs.create_job(session, new).id
        ending = threading.Thread(target=end_intake)
        ending.start()
        ending.join(timeout=0.3)  # it ends, or waits for this transaction
    ending.join()
    with context.sessions() as session:
        assert session.get_one(JobRow, job_id).state == "queued"

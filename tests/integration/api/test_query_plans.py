"""Queries of polling clients use indexes, so they do not slow down with the table."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from app.objects.garbage import ObjectCollector
from app.objects.lock import create_object_lock
from tests.fixtures.api import Api, running_api, zip_bytes


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path / "data") as found:
        yield found


@contextmanager
def plans_of(api: Api) -> Iterator[list[str]]:
    """Collect SQLite's plan of every query in the block."""
    engine = api.sessions.kw["bind"]
    asked: list[tuple[str, Any]] = []
    plans: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            asked.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    yield plans
    event.remove(engine, "before_cursor_execute", note)
    assert asked
    with engine.connect() as connection:
        for statement, parameters in asked:
            found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans += [f"{row[-1]}  [{statement}]" for row in found]


def is_full_scan(plan: str) -> bool:
    return plan.startswith("SCAN") and not plan.startswith("SCAN CONSTANT ROW")


def post_jobs(api: Api, count: int) -> list[str]:
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    api.finish_intake(api.queue.rings[-1][0], {}, None)
    posted = [api.client.post("/v1/jobs", json={"model": model}) for _ in range(count)]
    return [str(response.json()["id"]) for response in posted]


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/{job}",
        "/v1/jobs/{job}/events",
        "/v1/jobs/{job}/events?type=metric&type=job",
        "/v1/jobs?limit=2",
        "/v1/jobs?limit=2&after={job}",
        "/v1/jobs?limit=2&after={job}&order=asc",
    ],
)
def test_reading_jobs_uses_indexes_and_sorts_nothing(api: Api, path: str) -> None:
    job = post_jobs(api, 4)[-1]
    with plans_of(api) as plans:
        assert api.client.get(path.format(job=job)).status_code == 200
    assert not [plan for plan in plans if is_full_scan(plan)], plans
    of_jobs = [plan for plan in plans if "job" in plan.partition("  [")[0]]
    assert of_jobs
    if "limit=" in path:
        assert not [plan for plan in plans if "TEMP B-TREE" in plan], plans


def test_the_search_for_garbage_uses_indexes(api: Api, tmp_path: Path) -> None:
    post_jobs(api, 2)
    path = tmp_path / "orphan"
    path.write_text("orphan")
    api.store.put_file(path)
    lock = create_object_lock(api.sessions.kw["bind"])
    collector = ObjectCollector(api.sessions, api.store, lock, orphan_seconds=0)
    with plans_of(api) as plans:
        assert collector.collect().num_removed == 1
    assert not [plan for plan in plans if is_full_scan(plan)], plans

"""Time of the operations on jobs, with few and with many jobs in the database.

Usage: python -m benchmarks.history [--waiting 100000 --ended 200000] [--runs 5] [--output FILE].
SQLite in WAL mode and a real PostgreSQL, each with 200 jobs and then with the given numbers, of ten
tenants: claiming a job, counting for ``/metrics`` (the second scrape of a process), the positions
in the line, and a page of a tenant's list. Medians of the CPU seconds of this process and of
PostgreSQL's, so other work on the machine changes little. Writes JSON.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert, select, text

from app.contracts.ids import new_id
from app.contracts.job import JobKind, JobState
from app.contracts.spec import PruneConfig
from app.metrics import jobs as metrics
from app.records import leases
from app.records.database import Sessions, create_database, create_sessions, reading
from app.records.jobs import NewJob, create_job
from app.records.line import look_along
from app.records.migrations import upgrade
from app.records.queued import merge_changes
from app.records.tables import JobRow
from benchmarks.machine import machine
from tests.fixtures.services import fresh_postgresql_url, running_postgresql

QUEUE = "cpu"
NUM_TENANTS = 10
_NUM_LISTED = 20  # as many as a tenant has in the small database
_BATCH = 5000


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--waiting", type=int, default=100_000)
    parser.add_argument("--ended", type=int, default=200_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    result: dict[str, Any] = {"machine": machine(), "runs": options.runs, "databases": {}}
    for name, database in (("sqlite", _sqlite), ("postgresql", _postgresql)):
        with database() as engine:
            upgrade(engine)
            sessions = create_sessions(engine)
            found = {}
            for size in ((100, 100), (options.waiting, options.ended)):
                _fill(engine, sessions, *size)
                label = f"{size[0]} waiting, {size[1]} ended"
                found[label] = _measure(sessions, options.runs, _find_backend(engine))
                print(name, label, json.dumps(found[label]), flush=True)
            few, many = found.values()
            found["ratio"] = {key: round(many[key] / few[key], 2) for key in few}
            print(name, "ratio", json.dumps(found["ratio"]), flush=True)
            result["databases"][name] = found
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


def _measure(sessions: Sessions, runs: int, backend: Path | None) -> dict[str, float]:
    collector = metrics.JobsCollector(sessions, clock=lambda: 0.0)
    operations: dict[str, Callable[[], object]] = {
        "claim": lambda: _claim(sessions),
        "metrics": lambda: _scrape(collector),
        "positions": lambda: _look(sessions),
        "page": lambda: _page(sessions),
    }
    found = {}
    for name, operation in operations.items():
        operation()  # warm up
        found[name] = round(statistics.median(_time(operation, backend) for _ in range(runs)), 6)
    return found


def _find_backend(engine: Engine) -> Path | None:
    """Return the file with the CPU time of PostgreSQL's process; the pool has one connection."""
    if engine.dialect.name == "sqlite":
        return None
    with engine.connect() as connection:
        return Path(f"/proc/{connection.scalar(text('SELECT pg_backend_pid()'))}/schedstat")


def _time(operation: Callable[[], object], backend: Path | None) -> float:
    start = _cpu_seconds(backend)
    operation()
    return _cpu_seconds(backend) - start


def _cpu_seconds(backend: Path | None) -> float:
    of_backend = 0 if backend is None else int(backend.read_text().split()[0])
    return time.process_time() + of_backend / 1e9


def _claim(sessions: Sessions) -> None:
    """Claim a job and undo it."""
    with sessions() as session:
        assert leases.claim_next(session, queue=QUEUE, owner="o", lease_seconds=30) is not None  # noqa: S101
        session.rollback()


def _scrape(collector: metrics.JobsCollector) -> None:
    collector._found = None  # noqa: SLF001  # forget what is cached for seconds
    assert list(collector.collect())  # noqa: S101


def _look(sessions: Sessions) -> None:
    with reading(sessions) as session:
        look_along(session, QUEUE)


def _page(sessions: Sessions) -> None:
    with reading(sessions) as session:
        query = select(JobRow).where(JobRow.tenant == "t1", JobRow.kind == JobKind.PRUNE)
        found = session.scalars(query.order_by(JobRow.id.desc()).limit(_NUM_LISTED)).all()
        assert len(found) == _NUM_LISTED  # noqa: S101


def _fill(engine: Engine, sessions: Sessions, num_waiting: int, num_ended: int) -> None:
    """Insert copies of one job of the API: some wait, some have succeeded."""
    config = PruneConfig().model_dump(mode="json")
    with sessions.begin() as session:
        job = create_job(session, NewJob("t0", JobKind.PRUNE, {}, config, QUEUE, 3))
        session.flush()
        columns = {c.key: getattr(job, c.key) for c in JobRow.__mapper__.column_attrs}
        now = job.created_at
    rows: list[dict[str, Any]] = []
    for index in range(num_waiting + num_ended):
        is_ended = index >= num_waiting
        values = {
            "id": new_id("job"),
            "tenant": f"t{index % NUM_TENANTS}",
            "created_at": now - 1e6 + index,
        }
        if is_ended:
            values |= {"state": JobState.SUCCEEDED, "seconds_run": 60.0, "finished_at": now - 1e5 + index / 10}  # fmt: skip  # noqa: E501
        rows.append(columns | values)
    for start in range(0, len(rows), _BATCH):
        with sessions.begin() as session:
            session.execute(insert(JobRow), rows[start : start + _BATCH])
    with sessions.begin() as session:  # as a worker does every few seconds
        merge_changes(session)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if engine.dialect.name == "sqlite" else "VACUUM ANALYZE"))


@contextmanager
def _sqlite() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory() as folder:
        engine = create_database(f"sqlite:///{folder}/history.db")
        yield engine
        engine.dispose()


@contextmanager
def _postgresql() -> Iterator[Engine]:
    with (
        tempfile.TemporaryDirectory(prefix="postgresql-") as folder,
        running_postgresql(Path(folder)) as url,
    ):
        engine = create_database(fresh_postgresql_url(url), transaction_seconds=300)
        yield engine
        engine.dispose()


if __name__ == "__main__":
    main()

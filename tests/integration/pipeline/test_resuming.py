"""A worker that vanishes during a partition, with epochs that never reached the database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, select
from structlog.testing import capture_logs

from app.contracts.job import FailureCode, JobKind
from app.contracts.settings import OutputSettings
from app.records import jobs, leases, setbacks
from app.records.database import create_database, create_sessions
from app.records.jobs import NewJob
from app.records.migrations import upgrade
from app.records.tables import EventRow, JobRow
from tests.fixtures.faulty_database import partition
from tests.fixtures.jobs import Recorder as Collector
from tests.integration.pipeline.test_modes import job
from worker.messages import Saved
from worker.pipeline.job.reporter import AnyMessage
from worker.pipeline.prune import prune
from worker.recorder import Recorder

NUM_EPOCHS = 5
CONFIG = {
    "retrain": {"epochs": NUM_EPOCHS, "optimizer": {"learning_rate": 0.05}},
    "selection": {"mode": "accuracy", "max_drop": 0.5, "max_trials": 2},  # two runs
}


class VanishedError(BaseException):
    """The worker and the job's process are gone."""


class Service(Collector):
    """Passes messages on to the database, until the worker vanishes."""

    def __init__(self, engine: Engine, job_id: str) -> None:
        super().__init__()
        self.engine, self.job_id = engine, job_id
        self.vanishes_after = 10**9
        self.num_saved = 0

    def claim(self) -> None:
        sessions = create_sessions(self.engine)
        with sessions.begin() as session:
            session.get_one(JobRow, self.job_id).not_before = None
            session.flush()
            self.held = leases.claim(session, job_id=self.job_id, owner="w:1", lease_seconds=60)
        assert self.held is not None
        self.recorder = Recorder(sessions, self.held, OutputSettings())

    def lose(self) -> None:
        assert self.held is not None
        with create_sessions(self.engine).begin() as session:
            setbacks.retry_or_fail(
                session, self.held, FailureCode.WORKER_LOST, "it is gone", None, most=3
            )

    def send(self, message: AnyMessage) -> None:
        super().send(message)
        self.recorder.add([message])  # the last message is not sent here
        self.num_saved += isinstance(message, Saved)
        if self.num_saved >= self.vanishes_after:
            raise VanishedError


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_database(database_url)
    upgrade(engine)
    with capture_logs():
        yield engine
    engine.dispose()


def post(engine: Engine) -> str:
    new = NewJob("t", JobKind.PRUNE, {}, {}, "cpu", 3)
    with create_sessions(engine).begin() as session:
        return jobs.create_job(session, new).id


def told(engine: Engine, job_id: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the metrics and warnings, without measured times."""
    query = select(EventRow).where(
        EventRow.job_id == job_id, EventRow.type.in_(["metric", "warning"])
    )
    with create_sessions(engine)() as session:
        rows = session.scalars(query.order_by(EventRow.number)).all()
    return [(row.type, {k: v for k, v in row.data.items() if k != "seconds"}) for row in rows]


def test_no_metric_is_lost_or_doubled_if_a_worker_vanishes_in_a_partition(
    engine: Engine, tmp_path: Path
) -> None:
    request, _ = job(tmp_path / "undisturbed", CONFIG)
    undisturbed = Service(engine, post(engine))
    undisturbed.claim()
    prune(request, undisturbed)
    undisturbed.recorder.flush()
    expected = told(engine, undisturbed.job_id)
    num_epochs = sum(data.get("kind") == "epoch" for _, data in expected)
    assert num_epochs >= NUM_EPOCHS

    request, _ = job(tmp_path / "disturbed", CONFIG)
    disturbed = Service(engine, post(engine))
    for most in (1, num_epochs - 2):  # between the two, every epoch is in a checkpoint only
        disturbed.claim()
        disturbed.vanishes_after = most
        if most == 1:
            with pytest.raises(VanishedError):
                prune(request, disturbed)
        else:
            with pytest.raises(VanishedError), partition(engine):
                prune(request, disturbed)
        disturbed.lose()
    assert len(told(engine, disturbed.job_id)) < len(expected) - 2
    disturbed.claim()
    disturbed.vanishes_after = 10**9
    prune(request, disturbed)
    disturbed.recorder.flush()
    assert told(engine, disturbed.job_id) == expected

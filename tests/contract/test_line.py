"""Estimated waits compared with the claims that workers make, on SQLite and PostgreSQL."""

import heapq
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import select, update

from app.contracts.job import JobKind, JobState
from app.contracts.spec import PruneConfig
from app.records import jobs, leases, workers
from app.records import line as records_line
from app.records.database import Sessions, create_database, create_sessions, current_time
from app.records.jobs import NewJob
from app.records.line import Allowance, Line, look_along
from app.records.tables import DatasetRow, JobRow, ModelRow
from app.records.workers import WorkerIdentity
from tests.contract.test_jobs import add_dataset, add_model
from tests.fixtures.databases import migrate


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = create_database(database_url)
    migrate(engine)
    yield create_sessions(engine)
    engine.dispose()


class World:
    """Jobs of known length, claimed and ended by the test's own clock."""

    def __init__(
        self,
        sessions: Sessions,
        num_slots: int,
        allowance: Allowance | None = None,
        queue: str = "cpu",
    ) -> None:
        self.sessions, self.allowance, self.queue = sessions, allowance, queue
        self.num_slots, self.now = num_slots, 0.0
        self.lengths: dict[str, float] = {}
        self.began: dict[str, float] = {}
        self.running: list[tuple[float, str]] = []
        if num_slots:
            with sessions.begin() as session:
                workers.report(session, WorkerIdentity("w", (queue,), "cpu", num_slots))

    def post(self, seconds: float, *, epochs: int = 3, tenant: str = "t", **subject: Any) -> str:
        config = PruneConfig.model_validate({"retrain": {"epochs": epochs}})
        new = NewJob(
            kind=JobKind.PRUNE, config={}, resolved=config.model_dump(mode="json"), device="cpu",
            max_attempts=3, tenant=tenant, **{"model_id": None, "dataset_id": None, **subject},
        )  # fmt: skip
        with self.sessions.begin() as session:
            job_id = jobs.create_job(session, new).id
        self.lengths[job_id] = seconds
        return job_id

    def done(self, seconds: float, **what: Any) -> None:
        """Post a job that has succeeded."""
        job_id = self.post(seconds, **what)
        with self.sessions.begin() as session:
            values = {"state": JobState.SUCCEEDED, "seconds_run": seconds}
            values["finished_at"] = current_time(session)
            session.execute(update(JobRow).where(JobRow.id == job_id).values(values))

    def claim(self) -> None:
        """Let free workers claim jobs."""
        while len(self.running) < self.num_slots:
            with self.sessions.begin() as session:
                held = leases.claim_next(
                    session,
                    queue=self.queue,
                    owner="w",
                    lease_seconds=30,
                    allowance=self.allowance,
                )
            if held is None:
                return
            self.began[held.job_id] = self.now
            end = self.now + self.lengths[held.job_id]
            heapq.heappush(self.running, (end, held.job_id))

    def run_on(self, seconds: float, *, told: bool = True) -> None:
        """Advance running jobs by ``seconds``, and report their remaining time if ``told``."""
        self.now += seconds
        with self.sessions.begin() as session:
            for end, job_id in self.running:
                row = session.get_one(JobRow, job_id)
                row.claimed_at = current_time(session) - seconds
                if told:
                    row.progress = {"elapsed_seconds": seconds, "eta_seconds": end - self.now}

    def look(self) -> Line:
        with self.sessions() as session:
            return look_along(session, self.queue, self.allowance)

    def to_end(self) -> None:
        """End one job after another, and claim jobs as slots become free."""
        self.claim()
        while self.running:
            self.now, job_id = heapq.heappop(self.running)
            with self.sessions.begin() as session:
                changed = {"state": JobState.CANCELLED, "lease_owner": None}
                session.execute(update(JobRow).where(JobRow.id == job_id).values(changed))
            self.claim()


def assert_foretold(world: World, line: Line, posted: Sequence[str], since: float) -> None:
    """Assert that each job started at its estimated time, in order."""
    order = sorted(posted, key=lambda job_id: line.positions[job_id])
    assert order == sorted(posted, key=lambda job_id: (world.began[job_id], order.index(job_id)))
    for job_id in posted:
        wait, waited = line.waits[job_id], world.began[job_id] - since
        assert wait is not None
        assert waited / 2 - 1 <= wait <= 2 * waited + 1, (wait, waited)


def test_short_jobs_behind_a_long_one_have_short_estimates(sessions: Sessions) -> None:
    model, data = add_model(sessions), add_dataset(sessions)
    subject: dict[str, Any] = {"model_id": model, "dataset_id": data}
    world = World(sessions, num_slots=1)
    for _ in range(5):  # the newest jobs took long: their mean says nothing about these
        world.done(1600, epochs=60)
    for _ in range(2):
        world.done(70, epochs=3, **subject)
    world.post(70, **subject)
    world.claim()
    world.run_on(60)
    posted = [world.post(75, **subject) for _ in range(3)]
    line = world.look()
    world.to_end()
    assert_foretold(world, line, posted, since=60)
    assert line.waits[posted[1]] == pytest.approx(80, abs=5)


@pytest.mark.parametrize("num_slots", [1, 2, 3])
def test_waits_follow_the_turns_of_tenants_and_all_slots(
    sessions: Sessions, num_slots: int
) -> None:
    model, data = add_model(sessions), add_dataset(sessions)
    subject: dict[str, Any] = {"model_id": model, "dataset_id": data}
    world = World(sessions, num_slots)
    world.done(50, epochs=2, **subject)
    world.done(250, epochs=10, **subject)
    for number in range(num_slots):
        world.post(50 * (number + 1), epochs=2 * (number + 1), **subject)
    world.claim()
    world.run_on(20)
    posted = [world.post(25 * k, epochs=k, tenant="many", **subject) for k in (2, 10, 6, 4)]
    posted += [world.post(25 * k, epochs=k, tenant="few", **subject) for k in (4, 2)]
    line = world.look()
    world.to_end()
    assert_foretold(world, line, posted, since=20)


def test_a_tenant_at_its_limit_waits_for_its_own_jobs(sessions: Sessions) -> None:
    world = World(sessions, 2, Allowance(running_jobs=1, compute_seconds=1e9))
    data: dict[str, Any] = {"model_id": add_model(sessions), "dataset_id": add_dataset(sessions)}
    world.done(100, **data)
    world.post(100, **data)
    world.claim()
    world.run_on(10)
    posted = [world.post(100, **data) for _ in range(2)]
    posted.append(world.post(100, tenant="other", **data))
    line = world.look()
    world.to_end()
    assert_foretold(world, line, posted, since=10)
    assert line.positions[posted[2]] == 0


def test_a_tenant_without_compute_time_gets_no_estimate(sessions: Sessions) -> None:
    world = World(sessions, 1, Allowance(running_jobs=1, compute_seconds=0.0))
    job = world.post(100)
    line = world.look()
    assert (line.positions[job], line.waits[job]) == (0, None)


def test_an_unknown_duration_gives_no_estimate(sessions: Sessions) -> None:
    data: dict[str, Any] = {"model_id": add_model(sessions), "dataset_id": add_dataset(sessions)}
    world = World(sessions, num_slots=1)
    world.done(100, **data)
    stranger = world.post(100)  # of another model: it may take any time
    last = world.post(100, **data)
    line = world.look()
    assert [line.waits[job] for job in (stranger, last)] == [0, None]
    assert line.wait_of_next is None
    world.claim()
    world.run_on(5, told=False)
    assert world.look().waits[last] is None
    world.run_on(5)  # the stranger says now how long it takes
    assert world.look().waits[last] == pytest.approx(90, abs=2)


def test_without_a_worker_the_wait_is_unknown(sessions: Sessions) -> None:
    data: dict[str, Any] = {"model_id": add_model(sessions), "dataset_id": add_dataset(sessions)}
    world = World(sessions, num_slots=0)
    world.done(100, **data)
    posted = [world.post(100, **data) for _ in range(2)]
    line = world.look()
    assert [line.positions[job] for job in posted] == [0, 1]
    assert [line.waits[job] for job in posted] == [None, None]


def test_models_of_one_size_stand_for_each_other(sessions: Sessions) -> None:
    models = [add_model(sessions) for _ in range(4)]
    data = add_dataset(sessions)
    with sessions.begin() as session:
        for model, macs in zip(models, (90e6, 100e6, 110e6, 4e9), strict=True):
            session.get_one(ModelRow, model).report = {"macs": int(macs)}
        session.get_one(DatasetRow, data).summary = {"num_samples": 1000}
    world = World(sessions, num_slots=1)
    for model, seconds in zip(models, (90, 110), strict=False):
        world.done(seconds, model_id=model, dataset_id=data)
    posted = [world.post(100, model_id=model, dataset_id=data) for model in models[2:]]
    behind = world.post(100, model_id=models[0], dataset_id=data)
    line = world.look()
    assert line.waits[posted[1]] == pytest.approx(100, abs=1)
    assert line.waits[behind] is None  # one of 4 GMACs is before it


def test_a_long_line_is_told_exactly_in_front_and_roughly_behind(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records_line, "_MOST_FORESEEN", 10)
    monkeypatch.setattr(records_line, "_LEAST_FORESEEN", 5)
    monkeypatch.setattr(records_line, "_TENANTS_A_QUERY", 1)
    world = World(sessions, num_slots=1)
    world.done(100)
    posted = [world.post(100, tenant="many") for _ in range(40)]
    posted += [world.post(100, tenant="some") for _ in range(12)]
    with sessions.begin() as session:  # evenly, as the rough positions suppose
        for number, job_id in enumerate(posted):
            session.get_one(JobRow, job_id).created_at = 1e9 + number
    line = world.look()
    with sessions.begin() as session:
        rows = {row.id: row for row in session.scalars(select(JobRow)) if row.id in posted}
    told = {job_id: line.position(rows[job_id]) for job_id in posted}
    assert line.length == 52
    assert len(line.positions) == 10
    world.to_end()
    order = sorted(posted, key=lambda job_id: world.began[job_id])
    for position, job_id in enumerate(order):
        is_exact = job_id in line.positions
        assert told[job_id] == position if is_exact else abs(told[job_id] - position) <= 8
    last = rows[posted[39]]
    assert line.position(last) == 51
    assert line.wait_seconds(last) == pytest.approx(5100)
    assert line.wait_of_next is None
    assert all(line.knows(rows[job_id]) for job_id in posted)


def test_a_claim_looks_at_one_job_of_each_tenant(sessions: Sessions) -> None:
    world = World(sessions, num_slots=3)
    first = [world.post(10, tenant=tenant) for tenant in ("b", "a", "c")]
    for _ in range(5):
        world.post(10, tenant="b")
    later = world.post(10, tenant="0")
    with sessions.begin() as session:
        session.get_one(JobRow, first[1]).not_before = 4e9  # not due
    world.claim()
    assert set(world.began) == {first[0], first[2], later}

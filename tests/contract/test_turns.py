"""Tenants take turns as jobs end, and reported positions are real ones, on both databases."""

import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from app.contracts.job import JobKind
from app.contracts.spec import PruneConfig
from app.records import jobs
from app.records import line as records_line
from app.records.database import Sessions, create_database, create_sessions
from app.records.jobs import NewJob
from app.records.line import Allowance
from app.records.queued import merge_changes
from tests.contract.test_jobs import add_dataset, add_model
from tests.contract.test_line import World
from tests.fixtures.databases import migrate


@pytest.fixture
def sessions(database_url: str) -> Iterator[Sessions]:
    engine = create_database(database_url)
    migrate(engine)
    yield create_sessions(engine)
    engine.dispose()


def order(world: World) -> list[str]:
    """Run every job to its end; return the jobs in the order of their starts."""
    world.to_end()
    return sorted(world.began, key=lambda job_id: world.began[job_id])


def post_many(world: World, tenant: str, number: int, **subject: Any) -> list[str]:
    epochs = [2 + index % 3 for index in range(number)]
    return [world.post(25 * k, epochs=k, tenant=tenant, **subject) for k in epochs]


def test_one_worker_serves_the_second_tenant_next(sessions: Sessions) -> None:
    world = World(sessions, num_slots=1)
    many = post_many(world, "a", 40)
    world.claim()
    (one,) = post_many(world, "b", 1)
    told = world.look().positions
    assert told[one] == 0  # behind nothing but the job that runs
    began = order(world)
    assert began[:3] == [many[0], one, many[1]]
    assert [job for job in began if job != one] == many  # each tenant's own are in order


@pytest.mark.parametrize("num_slots", [1, 2])
def test_the_reported_position_is_the_real_one(sessions: Sessions, num_slots: int) -> None:
    world = World(sessions, num_slots)
    subject: dict[str, Any] = {
        "model_id": add_model(sessions),
        "dataset_id": add_dataset(sessions),
    }
    world.done(50, epochs=2, **subject)
    world.done(250, epochs=10, **subject)
    for tenant, number in {"a": 3, "b": 1}.items():
        post_many(world, tenant, number, **subject)
    world.claim()  # some of them are served before the others are posted
    for tenant, number in {"a": 12, "b": 5, "c": 5}.items():
        post_many(world, tenant, number, **subject)
    told, before = world.look().positions, set(world.began)
    had = [job for job in order(world) if job not in before]
    places = [(told[job], place) for place, job in enumerate(had)]
    assert len(places) == 26 - num_slots
    near = 0 if num_slots == 1 else 1  # jobs that end at the same time may end in any order
    assert sum(abs(a - b) <= near for a, b in places) >= 0.95 * len(places), places


@pytest.mark.parametrize("seed", range(3))
def test_positions_in_a_random_queue_are_the_real_ones(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(records_line, "_MOST_FORESEEN", 12)  # the others are told about
    monkeypatch.setattr(records_line, "_LEAST_FORESEEN", 3)
    dice, world = random.Random(seed), World(sessions, num_slots=1)  # noqa: S311
    for number in range(24):
        job = world.post(10, tenant=dice.choice("aaaabbc"))
        if number == 6:
            world.claim()
        elif dice.randrange(4) == 0:
            with sessions.begin() as session:  # leaves the queue, perhaps to return
                jobs.request_pause(session, job)
                if dice.randrange(2):
                    jobs.resume(session, job)
        if dice.randrange(5) == 0:
            with sessions.begin() as session:
                merge_changes(session)
    line, before = world.look(), set(world.began)
    had = [job for job in order(world) if job not in before]
    assert line.length == len(had)
    assert len(line.positions) >= 9
    assert [had[place] for place in line.positions.values()] == list(line.positions)


def test_few_jobs_behind_200_of_another_tenant_have_their_turns_and_know_them(
    tmp_path: Path,
) -> None:
    engine = create_database(f"sqlite:///{tmp_path / 'one.db'}")
    event.listen(engine, "connect", lambda each, _: each.execute("PRAGMA synchronous=OFF"))  # fast
    migrate(engine)
    world = World(create_sessions(engine), num_slots=1)
    tenants = dict.fromkeys(post_many(world, "a", 200), "a")
    world.claim()
    tenants |= {job: name for name in ("b", "c") for job in post_many(world, name, 5)}
    told, began = world.look().positions, order(world)
    places: dict[str, list[int]] = defaultdict(list)
    for place, job in enumerate(began):
        places[tenants[job]].append(place)
    assert max(places["b"] + places["c"]) <= 15  # of 210: three tenants, five turns
    right = [told[job] == place for place, job in enumerate(began[1:])]
    assert len(right) == 209
    assert sum(right) >= 0.95 * len(right)
    engine.dispose()


def test_a_tenant_whose_uploads_are_slow_leaves_a_slot_to_others(sessions: Sessions) -> None:
    allowance = Allowance(running_jobs=100, compute_seconds=1e9, running_intakes=2)
    world = World(sessions, num_slots=3, allowance=allowance, queue="intake")
    slow = [intake(world, "a") for _ in range(6)]
    world.claim()
    assert sorted(world.began) == sorted(slow[:2])
    quick = intake(world, "b")
    line = world.look()
    assert line.positions[quick] == 0
    world.claim()
    assert quick in world.began


def intake(world: World, tenant: str, seconds: float = 50) -> str:
    resolved = PruneConfig().model_dump(mode="json")
    with world.sessions.begin() as session:
        job_id = jobs.create_job(
            session, NewJob(tenant, JobKind.INTAKE_MODEL, {}, resolved, "cpu", 3)
        ).id
    world.lengths[job_id] = seconds
    return job_id

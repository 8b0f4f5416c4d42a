"""A real Redis stays small while no worker reads it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from sqlalchemy import insert

from app.contracts.ids import new_id
from app.contracts.job import JobKind
from app.contracts.settings import Settings
from app.contracts.tasks import QUEUE_CPU, QUEUE_MAINTENANCE
from app.doorbell import CeleryJobQueue
from app.records import jobs
from app.records.database import Sessions, create_database, create_sessions
from app.records.jobs import NewJob
from app.records.migrations import upgrade
from app.records.rings import ring_after_commit
from app.records.tables import JobRow
from worker.composition import create_celery
from worker.scheduler import WatchedScheduler

WAITING = 5_000
MOST = 100  # messages in a queue


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis(unix_socket_path=redis_url.removeprefix("redis+socket://")) as client:
        client.flushall()
        yield client
        client.flushall()


@pytest.fixture
def sessions(tmp_path: Path, redis_url: str) -> Iterator[Sessions]:
    engine = create_database(f"sqlite:///{tmp_path / 'test.db'}")
    upgrade(engine)
    sessions = create_sessions(engine)
    ring_after_commit(sessions, CeleryJobQueue(redis_url).ring)
    yield sessions
    engine.dispose()


def post(sessions: Sessions) -> JobRow:
    with sessions.begin() as session:
        return jobs.create_job(session, NewJob("a", JobKind.PRUNE, {}, {}, "cpu", 3))


def test_waiting_jobs_are_rung_once_a_tick_and_the_rings_expire(
    sessions: Sessions, redis: Redis
) -> None:
    row = post(sessions)
    values = {c.key: getattr(row, c.key) for c in JobRow.__mapper__.column_attrs}
    with sessions.begin() as session:
        rows: list[dict[str, Any]] = [{**values, "id": new_id("job")} for _ in range(WAITING)]
        session.execute(insert(JobRow), rows)
    redis.flushall()
    for tick in range(1, 6):
        with sessions.begin() as session:
            jobs.ring_again(session)
        assert redis.llen(QUEUE_CPU) == tick
    messages = [json.loads(message) for message in redis.lrange(QUEUE_CPU, 0, -1)]
    assert all(message["headers"]["expires"] for message in messages)


def test_unread_posts_and_periodic_tasks_do_not_pile_up(redis_url: str, redis: Redis) -> None:
    queue = CeleryJobQueue(redis_url)
    for number in range(2 * MOST):
        queue.ring(f"job_{number}", QUEUE_CPU)
    assert redis.llen(QUEUE_CPU) == MOST
    redis.ltrim(QUEUE_CPU, 1, 0)  # a worker reads them
    queue.ring("job_new", QUEUE_CPU)
    assert redis.llen(QUEUE_CPU) == 1

    celery = create_celery(Settings.model_validate({"queue": {"url": redis_url}}))
    scheduler = WatchedScheduler(celery, lazy=True)
    scheduler.setup_schedule()
    for entry in list(scheduler.schedule.values()) * MOST:
        scheduler.apply_entry(entry)
    assert redis.llen(QUEUE_MAINTENANCE) == MOST

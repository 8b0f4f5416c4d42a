"""The scheduler of periodic tasks outlasts a clock that is set back, and a broker that is away."""

import time
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from structlog.testing import capture_logs

from app.contracts.settings import Settings
from app.contracts.tasks import REAP
from worker import scheduler as module
from worker.composition import create_celery
from worker.scheduler import WatchedScheduler


class Counting(WatchedScheduler):
    """Counts the tasks instead of sending them."""

    producer = None

    def __init__(self, *args: Any, **options: Any) -> None:
        self.sent: Counter[str] = Counter()
        super().__init__(*args, **options)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        del producer
        self.sent[entry.task] += 1


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def time(self) -> float:
        return self.now


def test_periodic_tasks_go_on_when_the_clock_is_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    settings = Settings.model_validate({"queue": {"url": "memory://"}})
    celery = create_celery(settings)
    monkeypatch.setattr(celery, "now", lambda: datetime.fromtimestamp(clock.now, UTC))
    monkeypatch.setattr(module, "time", clock)
    scheduler = Counting(celery, lazy=True)
    scheduler.setup_schedule()

    def run(seconds: float) -> Counter[str]:
        scheduler.sent.clear()
        for _ in range(round(seconds)):
            clock.now += 1
            while scheduler.tick() == 0:
                pass
        return scheduler.sent.copy()

    seconds = 4 * settings.worker.reap_seconds
    usual = run(seconds)
    assert usual[REAP] >= 3
    clock.now -= 3600
    after = run(seconds)
    assert after.keys() >= usual.keys()
    assert after[REAP] >= usual[REAP] - 1


def test_a_broker_that_is_away_does_not_end_the_scheduler() -> None:
    def refuse(_queue: str) -> int:
        raise RedisConnectionError("connection refused")

    celery = create_celery(Settings.model_validate({"queue": {"url": "memory://"}}))
    scheduler = WatchedScheduler(celery, lazy=True)
    scheduler.setup_schedule()
    producer = SimpleNamespace(channel=SimpleNamespace(client=SimpleNamespace(llen=refuse)))
    with capture_logs() as lines:
        scheduler.apply_entry(scheduler.schedule[REAP], producer)
    assert [(x["event"], x["reason"]) for x in lines] == [
        ("scheduler.skipped", "connection refused")
    ]

"""The scheduler of periodic tasks when this machine's clock is set back."""

import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest

from app.contracts.settings import Settings
from app.contracts.tasks import REAP
from worker import scheduler as module
from worker.celery_app import create_celery
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

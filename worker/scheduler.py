"""Celery's in-memory scheduler, with a heartbeat file for `worker.health`."""

import time
from typing import Any

import structlog
from celery.beat import Scheduler
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.contracts.settings import load_settings
from app.contracts.tasks import QUEUE_MAINTENANCE
from app.doorbell import is_full
from worker.health import beat

_SETTLING_SECONDS = 1.0  # a clock that is kept in step moves by less

log = structlog.get_logger(__name__)


class WatchedScheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Scheduler without state between starts: every task is due again within its period.

    A task is not sent while earlier messages are unread, so that they do not fill the broker.
    Celery computes times with this machine's clock. When that is set back, every task would wait
    for the old time to come again, so the periods begin anew.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  # as in Celery
        super().__init__(*args, **options)
        self._settings = load_settings()
        self._ticked_at = 0.0

    def tick(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401  # as in Celery
        """Send the tasks that are due and return the seconds to sleep."""
        beat(self._settings)
        now = time.time()
        if now < self._ticked_at - _SETTLING_SECONDS:
            self._begin_anew()
        self._ticked_at = now
        return super().tick(*args, **options)

    def apply_entry(self, entry: Any, producer: Any = None) -> None:  # noqa: ANN401  # as in Celery
        """Send a task, unless enough tasks wait for a maintenance worker."""
        try:
            if is_full(producer or self.producer, QUEUE_MAINTENANCE):
                reason = "no worker reads the queue"
                log.warning("scheduler.skipped", task=entry.task, reason=reason)
                return
        except (OperationalError, RedisError, OSError) as error:
            # The task is sent when it is due again; Celery logs its own failures likewise.
            log.warning("scheduler.skipped", task=entry.task, reason=str(error))
            return
        super().apply_entry(entry, producer)

    def _begin_anew(self) -> None:
        log.warning("scheduler.clock_set_back")
        for entry in self.schedule.values():
            entry.last_run_at = entry.default_now()
        self.populate_heap()

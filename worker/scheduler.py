"""Celery's in-memory scheduler, with a heartbeat file for `worker.health`."""

from typing import Any

from celery.beat import Scheduler

from app.contracts.settings import load_settings
from worker.health import beat


class WatchedScheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Scheduler without state between starts: every task is due again within its period."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  # Celery's
        super().__init__(*args, **options)
        self._settings = load_settings()

    def tick(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401  # Celery's
        """Send the tasks that are due and return the seconds to sleep."""
        beat(self._settings)
        return super().tick(*args, **options)

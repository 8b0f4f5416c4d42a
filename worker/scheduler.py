"""Celery's scheduler in memory, whose ticks can be seen from outside (`worker.health`)."""

from typing import Any

from celery.beat import Scheduler

from app.contracts.settings import load_settings
from worker.health import beat


class WatchedScheduler(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Remembers nothing between starts: every task is due again soon enough."""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  # Celery's
        super().__init__(*args, **options)
        self._settings = load_settings()

    def tick(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401  # Celery's
        """Send what is due, and return how long to sleep."""
        beat(self._settings)
        return super().tick(*args, **options)

"""The log is quiet while nothing happens."""

import logging
from collections.abc import Iterator

import pytest

from app.contracts.settings import Settings
from app.telemetry.logs import configure_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before = root.handlers, root.level
    yield
    root.handlers, root.level = before


@pytest.mark.parametrize(("level", "is_shown"), [("info", False), ("debug", True)])
def test_periodic_tasks_are_logged_only_for_debugging(level: str, is_shown: bool) -> None:
    configure_logging(Settings(log_level=level))  # type: ignore[arg-type]
    for name in ("celery.app.trace", "celery.beat", "celery.worker.strategy"):
        logger = logging.getLogger(name)
        assert logger.isEnabledFor(logging.INFO) == is_shown
        assert logger.isEnabledFor(logging.WARNING)

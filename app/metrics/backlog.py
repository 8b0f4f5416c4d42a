"""What waits in the database longer than it should, read on scrape.

Every API process reports the same values, at most a few seconds old.
"""

import time
from collections.abc import Callable, Iterable

import structlog
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from app.records.backlog import Backlog, find_backlog
from app.records.database import Sessions, reading

log = structlog.get_logger(__name__)

_TTL_SECONDS = 5.0


class BacklogCollector(Collector):
    """Collector of backlogs; yields nothing without a database, so other metrics survive."""

    def __init__(self, sessions: Sessions, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions, self._clock = sessions, clock
        self._found: tuple[float, Backlog] | None = None

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Yield the metrics."""
        try:
            backlog = self._read()
        except SQLAlchemyError:
            log.warning("metrics.no_database", exc_info=True)
            return
        numbers = (
            backlog.num_due_webhooks,
            backlog.oldest_webhook_seconds,
            backlog.num_expired_leases,
            backlog.oldest_lease_seconds,
        )
        *gauges, workers, resting = self.describe()
        for gauge, number in zip(gauges, numbers, strict=True):
            gauge.add_metric((), number)
        for queue, number in backlog.num_workers.items():
            workers.add_metric((queue,), number)
            resting.add_metric((queue,), backlog.num_resting[queue])
        yield from (*gauges, workers, resting)

    def describe(self) -> list[GaugeMetricFamily]:
        """Return names without querying the database, which may be absent at registration."""
        one, queue = (), ("queue",)
        return [
            GaugeMetricFamily(name, text, labels=labels)
            for name, text, labels in (
                ("secateur_webhooks_due", "Webhook deliveries that could be sent now.", one),
                (
                    "secateur_webhook_oldest_due_seconds",
                    "Time for which the oldest of them has been due.",
                    one,
                ),
                ("secateur_leases_expired", "Leases that nobody renewed or revoked.", one),
                (
                    "secateur_lease_oldest_expired_seconds",
                    "Time for which the oldest of them has been expired.",
                    one,
                ),
                ("secateur_workers", "Workers that report to the database.", queue),
                (
                    "secateur_workers_resting",
                    "Those of them that take no jobs because they found trouble.",
                    queue,
                ),
            )
        ]

    def _read(self) -> Backlog:
        now = self._clock()
        if self._found is None or now - self._found[0] >= _TTL_SECONDS:
            with reading(self._sessions) as session:
                self._found = now, find_backlog(session)
        return self._found[1]

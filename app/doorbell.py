"""The doorbell: notify workers of queued rows. The only module in `app` that uses Celery."""

from typing import Protocol

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.contracts.tasks import RUN_JOB

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 2


class JobQueue(Protocol):
    """Notifies workers after commit. A lost ring is harmless: queued rows are rung again."""

    def ring(self, job_id: str, queue: str) -> None:
        """Notify the workers of ``queue``; never raises."""
        ...

    def check(self) -> None:
        """Raise if the queue cannot be reached."""
        ...


class CeleryJobQueue:
    """Doorbell that sends a task by name with only the job's id."""

    def __init__(self, url: str) -> None:
        self._celery = Celery("secateur", broker=url)
        self._celery.conf.update(
            task_ignore_result=True,
            task_serializer="json",
            broker_transport_options={
                "socket_timeout": _TIMEOUT_SECONDS,
                "socket_connect_timeout": _TIMEOUT_SECONDS,
                # A lost ring is repeated; a request must not wait for an unreachable queue.
                "max_retries": 0,
                "interval_start": 0,
                "interval_step": 0,
            },
        )

    def ring(self, job_id: str, queue: str) -> None:
        """Send the message. An unreachable queue is logged and rung again later."""
        try:
            self._celery.send_task(RUN_JOB, args=[job_id], queue=queue, retry=False)
        except (OperationalError, RedisError, OSError):
            log.warning("queue.ring_lost", job_id=job_id, queue=queue)

    def check(self) -> None:
        """Raise if Redis does not answer."""
        with self._celery.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=_TIMEOUT_SECONDS)

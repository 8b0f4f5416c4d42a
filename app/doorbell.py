"""Doorbell: notifies workers of queued rows. The only module in `app` that uses Celery.

All notifications of a queue are alike: a worker that receives one runs jobs until none is due. A
few of them suffice, so this module keeps the broker small however many jobs wait.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from app.contracts.tasks import RUN_JOB

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 2
_EXPIRES_SECONDS = 300.0  # far above the difference between two machines' clocks
_MOST_WAITING = 100  # messages per queue; more would tell its workers nothing new


class JobQueue(Protocol):
    """Notifies workers after a commit. A lost notification is harmless: it is repeated."""

    def ring(self, job_id: str, queue: str) -> None:
        """Notify the workers of ``queue``; never raises."""
        ...

    def check(self) -> None:
        """Raise if the queue cannot be reached."""
        ...


class CeleryJobQueue:
    """Doorbell that sends a Celery task by name, with only the job's id."""

    def __init__(self, url: str) -> None:
        self._celery = Celery("secateur", broker=url)
        self._celery.conf.update(
            task_ignore_result=True,
            task_serializer="json",
            broker_transport_options={
                "socket_timeout": _TIMEOUT_SECONDS,
                "socket_connect_timeout": _TIMEOUT_SECONDS,
                # A lost message is sent again later; a request must not wait for an unreachable
                # queue.
                "max_retries": 0,
                "interval_start": 0,
                "interval_step": 0,
            },
        )

    def ring(self, job_id: str, queue: str) -> None:
        """Send the message; log if the queue is unreachable, as it will be sent again later."""
        ring(self._celery, job_id, queue)

    def check(self) -> None:
        """Raise if Redis does not answer."""
        with self._celery.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=_TIMEOUT_SECONDS)


def ring(celery: Celery, job_id: str, queue: str) -> None:
    """Notify one worker of ``queue``, unless enough messages are waiting there; never raises.

    Args:
        celery: Celery app with the broker.
        job_id: A job that waits in the queue.
        queue: Name of the queue.
    """
    try:
        with celery.producer_pool.acquire(block=True) as producer:
            if is_full(producer, queue):
                return
            expires = datetime.now(UTC) + timedelta(seconds=_EXPIRES_SECONDS)
            celery.send_task(
                RUN_JOB, [job_id], queue=queue, retry=False, producer=producer, expires=expires
            )
    except (OperationalError, RedisError, OSError):
        log.warning("queue.ring_lost", job_id=job_id, queue=queue)


def is_full(producer: Any, queue: str) -> bool:  # noqa: ANN401  # kombu has no types
    """Return whether more messages wait in ``queue`` than its workers can be reading.

    More messages mean that nobody reads them: all workers are busy and will look for the next job
    by themselves, or there are none. Redis keeps an expired message until a worker reads it.

    Raises:
        OperationalError, RedisError, OSError: The broker cannot be reached.
    """
    return bool(producer.channel.client.llen(queue) >= _MOST_WAITING)

"""Broker check: the Redis in the settings, or the one that `secateur serve` would start."""

import subprocess
from collections.abc import Iterator

from app.cli.doctor.finding import Finding, Status
from app.cli.redis_server import find_redis_server, is_answering
from app.contracts.settings import Settings
from app.doorbell import CeleryJobQueue

_NAME = "queue"
_SECONDS = 10


def check_queue(settings: Settings) -> Iterator[Finding]:
    """Check that Redis answers or can be started."""
    if settings.queue.url is not None:
        yield _check_url(settings.queue_url)
    elif is_answering(settings.redis_socket):
        yield Finding(_NAME, Status.OK, f"Redis answers at {settings.redis_socket}")
    else:
        yield _check_binary()


def _check_url(url: str) -> Finding:
    where = url.rpartition("@")[2]  # the rest may hold a password
    try:
        CeleryJobQueue(url).check()
    except Exception as error:  # noqa: BLE001  # kombu's, redis's and the socket's own
        advice = "start Redis there, or change SECATEUR_QUEUE__URL"
        return Finding(_NAME, Status.FAIL, f"Redis does not answer at {where}: {error}", advice)
    return Finding(_NAME, Status.OK, f"Redis answers at {where}")


def _check_binary() -> Finding:
    binary = find_redis_server()
    if binary is None:
        advice = "install Redis (apt-get install redis-server), or set SECATEUR_QUEUE__URL"
        return Finding(_NAME, Status.FAIL, "redis-server was not found", advice)
    try:
        done = subprocess.run(  # noqa: S603  # found on PATH or in a wheel
            [binary, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (subprocess.SubprocessError, OSError) as error:
        return Finding(_NAME, Status.FAIL, f"{binary}: {error}", "install Redis for this machine")
    version = done.stdout.partition("v=")[2].partition(" ")[0]
    return Finding(_NAME, Status.OK, f"Redis {version} can be started: {binary}")

"""Liveness check of this machine's worker or scheduler: ``python -m worker.health``.

Both touch a file every few seconds from the loop that talks to Redis (Celery's heartbeat, the
scheduler's tick), so the check detects a hung loop and an unreachable Redis. It does not import
Celery and opens no connection, because every container runs it every half minute.
"""

import sys
import time

from app.contracts.settings import Settings, load_settings

_MOST_SECONDS = 60.0  # a heartbeat is due every 2 s, a tick every 5 s


def beat(settings: Settings) -> None:
    """Touch the heartbeat file, if one is configured."""
    if settings.worker.heartbeat_file is not None:
        settings.worker.heartbeat_file.touch()


def find_trouble(settings: Settings, now: float) -> str | None:
    """Return why the process counts as dead, or None if it is alive."""
    path = settings.worker.heartbeat_file
    if path is None:
        return "SECATEUR_WORKER__HEARTBEAT_FILE is not set"
    try:
        age = now - path.stat().st_mtime
    except FileNotFoundError:
        return f"{path} does not exist: the process has not started"
    if age < -_MOST_SECONDS:  # the clock was set back, and nobody has touched the file since
        return f"{path} is from the future"
    return f"{path} is {age:.0f} s old" if age > _MOST_SECONDS else None


def main() -> None:
    """Exit with status 1 and the reason if the process is not alive."""
    trouble = find_trouble(load_settings(), time.time())
    if trouble is not None:
        sys.exit(trouble)


if __name__ == "__main__":
    main()

"""Is the worker, or the scheduler, of this machine alive? ``python -m worker.health`` says so.

Both touch a file every few seconds from the loop that talks to Redis (Celery's heartbeat, the
scheduler's tick), so a loop that hangs and a Redis that is away both show. The check imports no
Celery and opens no connection: it is run every half minute in every container.
"""

import sys
import time

from app.contracts.settings import Settings, load_settings

_MOST_SECONDS = 60.0  # a heartbeat is due every 2 s, a tick every 5 s


def beat(settings: Settings) -> None:
    """Say that this process is alive, if somebody wants to know."""
    if settings.worker.heartbeat_file is not None:
        settings.worker.heartbeat_file.touch()


def find_trouble(settings: Settings, now: float) -> str | None:
    """Return what is wrong, or None."""
    path = settings.worker.heartbeat_file
    if path is None:
        return "SECATEUR_WORKER__HEARTBEAT_FILE is not set"
    try:
        age = now - path.stat().st_mtime
    except FileNotFoundError:
        return f"{path} is not there: nothing has started"
    return f"{path} is {age:.0f} s old" if age > _MOST_SECONDS else None


def main() -> None:
    """Exit with 1 and say why if the process is not alive."""
    trouble = find_trouble(load_settings(), time.time())
    if trouble is not None:
        sys.exit(trouble)


if __name__ == "__main__":
    main()

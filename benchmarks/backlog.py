"""Memory of Redis while jobs wait and no worker takes them.

Usage: python -m benchmarks.backlog [--waiting 5000] [--minutes 10] [--output FILE].
`secateur serve --no-worker` with default settings: the API, the scheduler, the maintenance worker
and Redis. Jobs are posted to the database as the API posts them, each with its notification. Every
ten seconds Redis is asked for its memory and for the messages in the queue. Writes JSON.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from redis import Redis

from app.contracts.job import JobKind
from app.contracts.settings.stores import QueueSettings
from app.contracts.spec import PruneConfig
from app.contracts.tasks import QUEUE_CPU, QUEUE_MAINTENANCE
from app.doorbell import CeleryJobQueue
from app.records.database import create_database, create_sessions
from app.records.jobs import NewJob, create_job
from app.records.rings import ring_after_commit
from benchmarks.machine import machine
from tests.fixtures.service import Service

NUM_TENANTS = 10
_PAUSE_SECONDS = 10
_MIB = 1024**2


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--waiting", type=int, default=5000)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    default = str(QueueSettings().ring_seconds)  # the tests ring more often
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder) / "data", SECATEUR_QUEUE__RING_SECONDS=default)
        service.start("--no-worker")
        try:
            samples = _watch(Path(folder) / "data", options.waiting, options.minutes * 60)
        finally:
            service.stop()
    result = {
        "machine": machine(),
        "waiting": options.waiting,
        "minutes": options.minutes,
        "most_mib": max(sample["mib"] for sample in samples),
        "most_messages": max(sample["messages"] for sample in samples),
        "samples": samples,
    }
    print(json.dumps({key: value for key, value in result.items() if key != "samples"}))
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


def _watch(folder: Path, num_waiting: int, seconds: float) -> list[dict[str, Any]]:
    [path] = folder.rglob("redis.sock")
    engine = create_database(f"sqlite:///{folder / 'secateur.db'}")
    sessions = create_sessions(engine)
    ring_after_commit(sessions, CeleryJobQueue(f"redis+socket://{path}").ring)
    config = PruneConfig().model_dump(mode="json")
    with Redis(unix_socket_path=str(path)) as redis:
        samples = [_sample(redis, 0.0)]
        for number in range(num_waiting):
            new = NewJob(f"t{number % NUM_TENANTS}", JobKind.PRUNE, {}, config, QUEUE_CPU, 3)
            with sessions.begin() as session:
                create_job(session, new)
        start = time.monotonic()
        while (passed := time.monotonic() - start) < seconds:
            samples.append(_sample(redis, passed))
            print(json.dumps(samples[-1]), flush=True)
            time.sleep(_PAUSE_SECONDS)
    engine.dispose()
    return samples


def _sample(redis: Redis, passed: float) -> dict[str, Any]:
    info: Any = redis.info("memory")
    return {
        "seconds": round(passed, 1),
        "mib": round(info["used_memory"] / _MIB, 2),
        "messages": redis.llen(QUEUE_CPU),
        "maintenance": redis.llen(QUEUE_MAINTENANCE),
    }


if __name__ == "__main__":
    main()

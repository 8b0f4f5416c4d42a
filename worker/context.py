"""The objects that every attempt of a worker shares."""

import threading
from dataclasses import dataclass

from app.contracts.settings import Settings
from app.objects.storage import ObjectStore
from app.records.database import Sessions
from worker.fitness import Fitness
from worker.fork_server.client import ForkServer
from worker.metrics import WorkerMetrics


@dataclass(frozen=True)
class WorkerContext:
    """Objects that every attempt of a worker shares.

    Attributes:
        settings: The service's settings.
        sessions: Factory of database sessions.
        store: The object store.
        stopping: Set when this worker shuts down.
        server: Forks the jobs' processes.
        fitness: Whether this worker can run jobs.
        metrics: Metrics of this worker.
        num_slots: Jobs that this worker runs at the same time.
    """

    settings: Settings
    sessions: Sessions
    store: ObjectStore
    stopping: threading.Event
    server: ForkServer
    fitness: Fitness
    metrics: WorkerMetrics
    num_slots: int = 1

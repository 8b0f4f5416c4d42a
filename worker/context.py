"""What every attempt of a worker works with."""

import threading
from dataclasses import dataclass

from app.contracts.settings import Settings
from app.objects.storage import ObjectStore
from app.records.database import Sessions
from worker.fork_server.client import ForkServer


@dataclass(frozen=True)
class WorkerContext:
    """What every attempt of a worker works with.

    Attributes:
        settings: Of the service.
        sessions: Transactions.
        store: Objects.
        stopping: Set when this worker shuts down.
        server: Forks the jobs' processes.
    """

    settings: Settings
    sessions: Sessions
    store: ObjectStore
    stopping: threading.Event
    server: ForkServer

"""Response schemas of queues and workers.

Counts cover all tenants, as in `/metrics` and in queue positions. Jobs are the tenant's own. A
worker's name contains its host's name, so the API shows another name.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class Gpu(BaseModel):
    """A GPU of a worker."""

    name: str
    memory_bytes: int


class Worker(BaseModel):
    """A process that runs jobs."""

    id: str
    object: Literal["worker"] = "worker"
    device: str
    gpus: list[Gpu] = Field(description="GPUs that it computes on.")
    num_slots: int = Field(description="Jobs that it can run at once.")
    num_running: int = Field(description="Jobs of this queue that it runs now.")
    started_at: datetime | None
    seen_at: datetime | None = Field(description="Time of its last heartbeat.")
    is_cordoned: bool = Field(description="An operator lets it take no more jobs.")


class JobInLine(BaseModel):
    """A waiting or running job of the tenant."""

    id: str
    status: str
    position: int | None = Field(description="Jobs ahead of this one.")
    worker: str | None = Field(description="The worker that runs it.")


class Queue(BaseModel):
    """Queue of jobs for the workers of one kind."""

    name: Literal["cpu", "gpu", "intake"]
    object: Literal["queue"] = "queue"
    is_paused: bool = Field(description="An operator paused it: it gives out no jobs.")
    num_waiting: int
    num_running: int
    seconds_a_job: float | None = Field(
        description="Average duration of the newest finished jobs; null before the first."
    )
    workers: list[Worker]
    jobs: list[JobInLine] = Field(
        description="The tenant's first hundred pruning jobs, running ones first."
    )


class Queues(BaseModel):
    """All queues that are in use."""

    object: Literal["list"] = "list"
    data: list[Queue]

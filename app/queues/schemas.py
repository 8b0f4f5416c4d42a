"""What queues and workers look like over HTTP.

The counts are of all tenants, as `/metrics` has them and as a place in line implies. Jobs are the
tenant's own. A worker's name holds its host's, so here it has another.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field


class Worker(BaseModel):
    """A process that runs jobs."""

    id: str
    object: Literal["worker"] = "worker"
    device: str
    num_slots: int = Field(description="Jobs that it runs at once.")
    num_running: int = Field(description="Jobs of this queue that it runs now.")
    started_at: datetime | None
    seen_at: datetime | None = Field(description="When it last said that it is there.")


class JobInLine(BaseModel):
    """One of the tenant's jobs that waits or runs."""

    id: str
    status: str
    position: int | None = Field(description="Jobs that will be taken before it.")
    worker: str | None = Field(description="Who runs it.")


class Queue(BaseModel):
    """Where jobs wait for the workers of one kind."""

    name: Literal["cpu", "gpu", "intake"]
    object: Literal["queue"] = "queue"
    num_waiting: int
    num_running: int
    seconds_a_job: float | None = Field(
        description="What the newest finished jobs took on average; null before the first."
    )
    workers: list[Worker]
    jobs: list[JobInLine] = Field(
        description="The tenant's pruning jobs, those that run first; the first hundred."
    )


class Queues(BaseModel):
    """All queues that are in use."""

    object: Literal["list"] = "list"
    data: list[Queue]

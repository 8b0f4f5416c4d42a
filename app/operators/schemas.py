"""Response schemas for operators."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

WorkerStatus = Literal["active", "resting", "cordoned", "draining"]


class OperatedGpu(BaseModel):
    """A GPU of a worker."""

    uuid: str
    name: str
    memory_bytes: int


class OperatedWorker(BaseModel):
    """A worker, with the name of its host and process."""

    id: str
    object: Literal["worker"] = "worker"
    name: str = Field(description="Host and process: the owner of its leases.")
    queues: list[str]
    device: str
    gpus: list[OperatedGpu] = Field(description="GPUs that it computes on.")
    status: WorkerStatus = Field(
        description="Only an active worker takes jobs. One that rests found trouble."
    )
    trouble: str | None = Field(description="Why it rests.")
    num_slots: int = Field(description="Jobs that it can run at once.")
    num_running: int = Field(description="Jobs that it runs now.")
    started_at: datetime | None
    seen_at: datetime | None = Field(description="Time of its last heartbeat.")


class OperatedWorkers(BaseModel):
    """All live workers."""

    object: Literal["list"] = "list"
    data: list[OperatedWorker]


class QueueState(BaseModel):
    """Whether a queue gives out jobs."""

    name: str
    object: Literal["queue_state"] = "queue_state"
    paused_at: datetime | None = Field(description="Since when it is paused; null: it is not.")


class Tenant(BaseModel):
    """A tenant and what it uses."""

    id: str
    object: Literal["tenant"] = "tenant"
    num_keys: int = Field(description="Keys that are not revoked.")
    num_waiting: int = Field(description="Jobs that are queued, paused, or wait for their inputs.")
    num_running: int
    stored_bytes: int = Field(description="Uploads, files, events and results of jobs.")
    compute_seconds: float = Field(description="Compute time of today (UTC).")


class Tenants(BaseModel):
    """A page of tenants, by name."""

    object: Literal["list"] = "list"
    data: list[Tenant]
    has_more: bool
    next_after: str | None

"""Settings of workers, and limits on what a job's process may write."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from app.contracts.settings.fields import GIBIBYTE, MEBIBYTE, Bytes, Count, Group, Seconds


class WorkerSettings(Group):
    """Execution of jobs."""

    device: str = Field(
        default="cpu",
        pattern=r"^(cpu|cuda(:\d+)?)$",
        description="Device for jobs: cpu, cuda or cuda:N.",
    )
    num_threads: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=0, description="Threads of one job's process; 0: one per core."
    )
    lease_seconds: Seconds = Field(
        default=30.0,
        description="A job returns to the queue if its worker has not renewed its lease for this "
        "long. Must exceed `heartbeat_seconds`.",
    )
    heartbeat_seconds: Seconds = Field(
        default=3.0, description="Interval at which a worker renews the lease of a running job."
    )
    reap_seconds: Seconds = Field(
        default=5.0, description="Interval of the search for expired leases."
    )
    progress_timeout_seconds: Seconds = Field(
        default=1800.0, description="A job without progress for this long is stopped."
    )
    time_limit_seconds: Seconds = Field(
        default=86_400.0, description="Longest total run time of a pruning job, over all attempts."
    )
    intake_time_limit_seconds: Seconds = Field(
        default=300.0, description="Longest check of an uploaded model or data set."
    )
    cancel_grace_seconds: Seconds = Field(
        default=5.0,
        description="Time for a job's process to stop by itself before it is killed.",
    )
    max_attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3, description="Attempts in a row without a new checkpoint before a job fails."
    )
    max_setbacks: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=100,
        description="Failures of the infrastructure, such as an object store that is away, before "
        "a job fails. They are no attempts.",
    )
    outage_seconds: Seconds = Field(
        default=21_600.0,
        description="Longest time that a worker keeps a finished job while the object store or the "
        "database is away. Then the job is queued again, which is no attempt.",
    )
    scratch_free_bytes: Bytes = Field(
        default=256 * MEBIBYTE,
        description="A worker claims no jobs while its scratch folder has less free space than "
        "this, or than 5 % of the disk if that is less.",
    )
    checkpoint_seconds: Seconds = Field(
        default=60.0,
        description="Interval of training checkpoints, on disk and in the object store.",
    )
    latency_seconds: Seconds = Field(
        default=1.0,
        description="How long the dense and the pruned network take turns to be timed, for each "
        "batch size; up to 2.5 times as long while the measurements differ.",
    )
    preview_seconds: Annotated[float, Field(ge=0, le=600)] = Field(
        default=15.0,
        description="How long a preview may repair the planned network, to tell its quality; "
        "0: previews tell costs only.",
    )
    gpus: tuple[Annotated[str, Field(pattern=r"^(GPU|MIG)-[\w/-]+$")], ...] = Field(
        default=(),
        description="UUIDs of the GPUs, or of MIG devices, for which `secateur serve` starts a "
        "worker each; empty: all. Only with device cuda.",
    )
    heartbeat_file: Path | None = Field(
        default=None,
        description="File that a worker touches every few seconds, for `python -m worker.health`.",
    )
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = Field(
        default=None,
        description="Port on which a worker serves its metrics to Prometheus, without a key; "
        "unset: none. `secateur serve` gives each of its workers the next port.",
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="Address on which a worker serves its metrics."
    )
    memory_bytes: Bytes | None = Field(
        default=None,
        description="Memory of one job's processes, shared memory included; unset: 80 % of the "
        "machine's or the container's, divided by the worker's jobs, at least 4 GiB of it.",
    )
    file_bytes: Bytes = Field(
        default=64 * GIBIBYTE, description="Largest file that a job's process may write."
    )
    disk_bytes: Bytes | None = Field(
        default=None,
        description="What one job may write to the worker's disk, files that it deletes but keeps "
        "open included; unset: 75 % of the space that is free when it starts, divided by the "
        "worker's jobs.",
    )
    open_files: Annotated[int, Field(ge=64)] = Field(
        default=4096, description="Open files of a job's process."
    )
    is_root_allowed: bool = Field(
        default=True,
        description="Whether a worker may run as root of the machine, outside a container; it then "
        "logs a warning.",
    )
    job_threads: Annotated[int, Field(ge=64)] = Field(
        default=4096, description="Threads and processes of one job."
    )

    @model_validator(mode="after")
    def _renews_before_the_lease_ends(self) -> Self:
        if self.lease_seconds <= self.heartbeat_seconds:
            raise ValueError(
                f"lease_seconds is {self.lease_seconds:g} and must exceed heartbeat_seconds, "
                f"{self.heartbeat_seconds:g}: otherwise every lease expires while its job runs"
            )
        return self

    @model_validator(mode="after")
    def _names_gpus_only_with_cuda(self) -> Self:
        if self.gpus and self.device == "cpu":
            raise ValueError("gpus is set, but device is cpu: set device to cuda or empty gpus")
        return self


class OutputSettings(Group):
    """Limits on files and messages of a job's process."""

    files: Count = Field(default=64, description="Output files of a job.")
    total_bytes: Bytes = Field(
        default=16 * GIBIBYTE,
        description="Total size of a job's output files; holes count as bytes.",
    )
    checkpoint_files: Count = Field(
        default=10_000, description="Files and folders of a job's checkpoints."
    )
    checkpoint_bytes: Bytes = Field(
        default=32 * GIBIBYTE,
        description="Total size of a job's checkpoints. Larger ones are not copied to the object "
        "store, so another worker starts the job over.",
    )
    store_seconds: Seconds = Field(
        default=1800.0,
        description="Time for fetching a job's inputs from the object store, and for storing its "
        "outputs. A store that takes longer counts as away (`worker.outage_seconds`).",
    )
    message_bytes: Bytes = Field(
        default=16_384,
        description="Longest message of a job's process, such as a metric or a warning.",
    )
    result_bytes: Bytes = Field(
        default=16 * MEBIBYTE, description="Longest message with a plan or a result."
    )
    summary_bytes: Bytes = Field(
        default=1 * MEBIBYTE, description="Size of a pruning job's result in the job object."
    )
    messages_per_second: Count = Field(
        default=200,
        description="Messages read from a job's process per second; a faster process waits. Bursts "
        "may be ten times as large.",
    )
    events: Count = Field(
        default=100_000,
        description="Events of one attempt, without progress events, which are at most one a "
        "second.",
    )
    event_bytes: Bytes = Field(default=32 * MEBIBYTE, description="Total size of the same events.")

"""Build the request of a job's process from the job's rows: fetch the files, set the limits."""

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.orm import Session

from app.contracts.job import JobKind
from app.contracts.resources_spec import FALLBACK
from app.contracts.settings import Settings, WorkerSettings
from app.contracts.spec import ArchitectureSpec, PreprocessSpec, PruneConfig
from app.objects.storage import ObjectStore
from app.records.tables import DatasetRow, JobRow, LatenciesRow, ModelRow
from app.sandbox.limits import ProcessLimits
from worker.disk_watch import share_of_disk
from worker.memory_share import share_of_memory
from worker.messages import DatasetInput, JobRequest, LatenciesInput, ModelInput
from worker.supervisor import Limits
from worker.time_limit import TimeLimit

Fetch = Callable[[str, str], Path]  # an object, by its hash, to a file of this name


@dataclass(frozen=True)
class JobRows:
    """Rows of one job.

    Attributes:
        job: The job.
        model: The job's model; None for the intake of a data set.
        dataset: The job's data set, if any.
        latencies: The latencies of the config's target, if any.
    """

    job: JobRow
    model: ModelRow | None
    dataset: DatasetRow | None
    latencies: LatenciesRow | None = None

    @property
    def config(self) -> PruneConfig:
        """The job's config as sent by the user."""
        return PruneConfig.model_validate(self.job.resolved or {})


def read_rows(session: Session, job_id: str) -> JobRows:
    """Return the rows of a job."""
    job = session.get_one(JobRow, job_id)
    target = (job.resolved or {}).get("selection", {}).get("target")
    latencies = session.get(LatenciesRow, target) if target else None
    return JobRows(
        job,
        session.get(ModelRow, job.model_id) if job.model_id else None,
        session.get(DatasetRow, job.dataset_id) if job.dataset_id else None,
        latencies if latencies is not None and latencies.tenant == job.tenant else None,
    )


def most_seconds(job: JobRow, worker: WorkerSettings) -> float:
    """Return the time limit of a job in seconds, over all attempts."""
    is_prune = job.kind == JobKind.PRUNE
    most = worker.time_limit_seconds if is_prune else worker.intake_time_limit_seconds
    return min(most, job.time_limit_seconds or most)


def make_request(
    rows: JobRows,
    settings: Settings,
    store: ObjectStore,
    folder: Path,
    checkpoint_dir: Path,
    time_limit: TimeLimit,
) -> JobRequest:
    """Fetch the files of a job into ``folder`` and return the request of its process.

    Raises:
        UnavailableError: The object store cannot be reached in time.
        InterruptedAttemptError: The attempt is to stop.
        FileNotFoundError: The object store does not have a file.
    """
    job, worker = rows.job, settings.worker

    def fetch(sha256: str, name: str) -> Path:
        path = folder / name
        time_limit.run(lambda: store.fetch(sha256, path))
        return path

    is_prune = job.kind == JobKind.PRUNE
    return JobRequest(
        job_id=job.id,
        kind=JobKind(job.kind),
        attempt=job.attempt,
        config=_with_smaller_batches(rows.config, job.batch_divisor),
        model=None if rows.model is None else _fetch_model(rows.model, fetch),
        dataset=None if rows.dataset is None else _fetch_dataset(rows.dataset, fetch),
        latencies=None if rows.latencies is None else _fetch_latencies(rows.latencies, fetch),
        output_dir=folder / "out",
        checkpoint_dir=checkpoint_dir,
        checkpoint_seconds=worker.checkpoint_seconds,
        latency_seconds=worker.latency_seconds,
        preview_seconds=worker.preview_seconds,
        cache_dir=settings.scratch_dir / "cache" / _cache_name(job.tenant),
        time_limit_seconds=_seconds_left(job, worker) if is_prune else None,
        # Only pruning jobs use a GPU; other jobs must not wait for one.
        device=worker.device if is_prune else "cpu",
        fallback=FALLBACK if FALLBACK in (job.warnings or ()) else None,
        num_threads=worker.num_threads,
        serving_num_threads=settings.inference.num_threads,
        serving_provider=settings.inference.provider,
        serving_cpu=settings.inference.cpu,
        limits=settings.limits,
    )


def make_limits(job: JobRow, settings: Settings, num_slots: int = 1) -> Limits:
    """Return the limits of a job's process, one of ``num_slots`` that run at the same time."""
    worker = settings.worker
    seconds = _seconds_left(job, worker)
    return Limits(
        time_limit_seconds=seconds,
        progress_timeout_seconds=worker.progress_timeout_seconds,
        grace_seconds=worker.cancel_grace_seconds,
        process=ProcessLimits(
            worker.memory_bytes or share_of_memory(num_slots),
            worker.file_bytes,
            worker.open_files,
            cpu_seconds=_cpu_seconds(seconds),
            num_threads=worker.job_threads,
        ),
        outputs=settings.outputs,
        disk_bytes=worker.disk_bytes or share_of_disk(settings.scratch_dir, num_slots),
    )


def _cache_name(tenant: str) -> str:
    """Return the name of a tenant's folder: a job could spoil or read what another one cached."""
    return hashlib.sha256(tenant.encode()).hexdigest()[:32]


def _fetch_model(row: ModelRow, fetch: Fetch) -> ModelInput:
    return ModelInput(
        path=fetch(row.sha256, "model"),
        format=row.format,
        id=row.id,
        name=row.name,
        sha256=row.sha256,
        architecture=(
            None if row.architecture is None else ArchitectureSpec.model_validate(row.architecture)
        ),
    )


def _fetch_dataset(row: DatasetRow, fetch: Fetch) -> DatasetInput:
    return DatasetInput(
        path=fetch(row.sha256, "dataset"),
        format=row.format,
        id=row.id,
        name=row.name,
        sha256=row.sha256,
        preprocess=PreprocessSpec.model_validate(row.preprocess),
    )


def _fetch_latencies(row: LatenciesRow, fetch: Fetch) -> LatenciesInput:
    return LatenciesInput(path=fetch(row.sha256, "latencies"), id=row.id, name=row.name)


def _seconds_left(job: JobRow, worker: WorkerSettings) -> float:
    return max(0.0, most_seconds(job, worker) - job.seconds_run)


def _cpu_seconds(seconds: float) -> int:
    """Return the CPU seconds that all cores can spend within the time limit plus one minute.

    A live worker stops the process long before. This limit covers a dead worker.
    """
    return math.ceil(seconds + 60) * (os.cpu_count() or 1)


def _with_smaller_batches(config: PruneConfig, divisor: int) -> PruneConfig:
    size = max(1, config.retrain.batch_size // divisor)
    retrain = config.retrain.model_copy(update={"batch_size": size})
    return config.model_copy(update={"retrain": retrain})

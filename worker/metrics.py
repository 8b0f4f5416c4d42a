"""Metrics of one worker, in base units. Their names are public API (docs/metrics.md).

No label holds an id or a tenant: these are unbounded in number, and private. `metrics_port` serves
them.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from app.contracts.job import FailureCode, JobKind, Stage
from app.telemetry.spans import Span

_JOB_SECONDS = (0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 43_200, 86_400)
_UPLOAD_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800)
LOST = "lost"  # outcome of an attempt whose lease was lost


class WorkerMetrics:
    """Instruments of one worker, in their own registry."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._make_job_metrics(registry)
        self._make_store_metrics(registry)
        self._make_periodic_metrics(registry)
        self._make_worker_metrics(registry)

    def _make_job_metrics(self, registry: CollectorRegistry) -> None:
        self.stage_seconds = Histogram(
            "secateur_stage_seconds",
            "Time that an attempt spent in a stage.",
            ("kind", "stage"),
            buckets=_JOB_SECONDS,
            registry=registry,
        )
        self.attempt_seconds = Histogram(
            "secateur_attempt_seconds",
            "Time from the claim of a job to the end of the attempt.",
            ("kind",),
            buckets=_JOB_SECONDS,
            registry=registry,
        )
        self.attempts = Counter(
            "secateur_attempts",
            "Ended attempts, by the state of the job afterwards; queued: it is tried again, lost: "
            "another worker has it.",
            ("kind", "outcome"),
            registry=registry,
        )
        self.attempt_failures = Counter(
            "secateur_attempt_failures",
            "Attempts that failed, by failure code; the job may be tried again.",
            ("kind", "code"),
            registry=registry,
        )
        self.lease_losses = Counter(
            "secateur_lease_losses",
            "Leases that were taken from this worker while its job ran.",
            registry=registry,
        )
        self.renewal_failures = Counter(
            "secateur_lease_renewal_failures",
            "Renewals of a lease that the database did not answer.",
            registry=registry,
        )

    def _make_store_metrics(self, registry: CollectorRegistry) -> None:
        self.checkpoint_seconds = Histogram(
            "secateur_checkpoint_seconds",
            "Time to copy a checkpoint to the object store.",
            buckets=_UPLOAD_SECONDS,
            registry=registry,
        )
        self.checkpoint_failures = Counter(
            "secateur_checkpoint_failures",
            "Checkpoints that could not be copied to the object store.",
            registry=registry,
        )
        self.upload_seconds = Histogram(
            "secateur_upload_seconds",
            "Time to store the outputs of a job, with the waits for a store that is away.",
            buckets=_UPLOAD_SECONDS,
            registry=registry,
        )

    def _make_periodic_metrics(self, registry: CollectorRegistry) -> None:
        self.periodic_runs = Counter(
            "secateur_periodic_runs",
            "Runs of the scheduler's tasks.",
            ("task",),
            registry=registry,
        )
        self.reaped_leases = Counter(
            "secateur_reaped_leases",
            "Expired leases that this worker revoked.",
            registry=registry,
        )
        self.stuck_leases = Gauge(
            "secateur_stuck_leases",
            "Expired leases that could not be revoked at the last try: the row is locked.",
            registry=registry,
        )
        self.collections = Counter(
            "secateur_collections",
            "Collections of old rows and unreferenced objects.",
            ("outcome",),  # done | postponed
            registry=registry,
        )
        self.collection_seconds = Histogram(
            "secateur_collection_seconds",
            "Time of one collection.",
            buckets=_UPLOAD_SECONDS,
            registry=registry,
        )
        self.collected_bytes = Counter(
            "secateur_collected_bytes",
            "Total size of the objects that collections deleted.",
            registry=registry,
        )
        self.webhook_attempts = Counter(
            "secateur_webhook_attempts",
            "Attempts to deliver a webhook.",
            ("outcome",),  # delivered | retried | given_up
            registry=registry,
        )

    def _make_worker_metrics(self, registry: CollectorRegistry) -> None:
        self.slots = Gauge(
            "secateur_worker_slots", "Jobs that the worker runs at once.", registry=registry
        )
        self.running_jobs = Gauge(
            "secateur_worker_running_jobs", "Jobs that the worker runs now.", registry=registry
        )
        self.is_resting = Gauge(
            "secateur_worker_resting",
            "1 while the worker claims no jobs because it found trouble, else 0.",
            registry=registry,
        )
        self.scratch_free_bytes = Gauge(
            "secateur_scratch_free_bytes",
            "Free space on the disk of the scratch folder.",
            registry=registry,
        )
        self.scratch_bytes = Gauge(
            "secateur_scratch_bytes", "Size of the disk of the scratch folder.", registry=registry
        )

    def watch(self, scratch: Path, find_trouble: Callable[[], str | None]) -> None:
        """Read the disk and the worker's trouble whenever the metrics are read."""
        self.scratch_free_bytes.set_function(lambda: shutil.disk_usage(_existing(scratch)).free)
        self.scratch_bytes.set_function(lambda: shutil.disk_usage(_existing(scratch)).total)
        self.is_resting.set_function(lambda: float(find_trouble() is not None))

    @contextmanager
    def attempt(
        self, kind: JobKind, begin_span: Callable[[Stage], Span | None] = lambda _: None
    ) -> Iterator["AttemptMetrics"]:
        """Measure an attempt at a job.

        Args:
            kind: Kind of the job.
            begin_span: Begins the span of a stage, if there are spans.
        """
        begun = time.monotonic()
        found = AttemptMetrics(self, kind, begin_span)
        with self.running_jobs.track_inprogress():
            try:
                yield found
            finally:
                found.close()
                self.attempt_seconds.labels(kind).observe(time.monotonic() - begun)


class AttemptMetrics:
    """Measures one attempt.

    Args:
        metrics: Receives the values.
        kind: Kind of the job.
        begin_span: Begins the span of a stage, if there are spans.
    """

    def __init__(
        self, metrics: WorkerMetrics, kind: JobKind, begin_span: Callable[[Stage], Span | None]
    ) -> None:
        self._metrics, self._kind, self._begin_span = metrics, kind, begin_span
        self._stage: Stage | None = None
        self._span: Span | None = None
        self._begun = 0.0
        self._has_outcome = False

    def begin_stage(self, stage: Stage) -> None:
        """Begin a stage and end the one before."""
        self.end_stage()
        self._stage, self._begun = stage, time.monotonic()
        self._span = self._begin_span(stage)

    def end_stage(self) -> None:
        """End the current stage, if there is one."""
        if self._stage is not None:
            seconds = time.monotonic() - self._begun
            self._metrics.stage_seconds.labels(self._kind, self._stage).observe(seconds)
        if self._span is not None:
            self._span.end()
        self._stage = self._span = None

    def note_outcome(self, outcome: str, code: FailureCode | None) -> None:
        """Count the end of the attempt.

        Args:
            outcome: State of the job afterwards, or `LOST`.
            code: Why the attempt failed, if it did.
        """
        self._has_outcome = True
        self._metrics.attempts.labels(self._kind, outcome).inc()
        if code is not None and outcome != LOST:
            self._metrics.attempt_failures.labels(self._kind, code).inc()

    def close(self) -> None:
        """End the stage; an attempt without an outcome is counted as lost."""
        self.end_stage()
        if not self._has_outcome:
            self.note_outcome(LOST, None)


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())

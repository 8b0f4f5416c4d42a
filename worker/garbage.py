"""The periodic deletion of old rows, unreferenced objects and old scratch files."""

import time
from dataclasses import asdict

import structlog

from app.contracts.errors import UnavailableError
from app.contracts.settings import Settings
from app.objects.garbage import ObjectCollector, clean_caches, clean_jobs, clean_uploads
from app.objects.lock import ObjectLock
from app.objects.storage import ObjectStore
from app.records.database import Sessions
from app.records.retention import remove_old
from worker.metrics import WorkerMetrics

log = structlog.get_logger(__name__)


class GarbageTask:
    """Handler of the periodic task ``secateur.collect``."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        store: ObjectStore,
        lock: ObjectLock,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        self._settings, self._sessions = settings, sessions
        self._metrics = metrics or WorkerMetrics()
        grace = settings.storage.orphan_seconds
        undo = settings.retention.kept_deleted_seconds
        self._collector = ObjectCollector(sessions, store, lock, grace, undo)

    def collect(self) -> None:
        """Delete old rows, unreferenced objects and old scratch.

        The objects wait for the next run if the store is away.
        """
        with self._metrics.collection_seconds.time():
            self._collect()

    def _collect(self) -> None:
        self.clean_scratch()
        removed = asdict(remove_old(self._sessions, self._settings.retention))
        if any(removed.values()):
            log.info("retention.removed", **removed)
        try:
            collected = self._collector.collect()
        except UnavailableError as error:
            self._metrics.collections.labels("postponed").inc()
            log.warning("garbage.postponed", reason=str(error))
            return
        self._metrics.collections.labels("done").inc()
        self._metrics.collected_bytes.inc(collected.num_bytes_removed)
        log.info("garbage.collected", **asdict(collected))

    def clean_scratch(self) -> None:
        """Remove files that killed processes left on this machine."""
        before = time.time() - self._settings.storage.orphan_seconds
        folder = self._settings.scratch_dir
        removed = (
            clean_uploads(folder, before)
            + clean_jobs(self._sessions, folder, before)
            + clean_caches(folder, before)
        )
        if removed:
            log.info("scratch.cleaned", num_removed=removed)

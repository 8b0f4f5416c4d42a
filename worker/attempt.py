"""One attempt at a job: fetch, process, store, finish; no session is open while tensors move.

`job_request` builds the request of the process; `endings` records its outcome.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

import structlog

from app.contracts.errors import UnavailableError
from app.contracts.job import FAILURES, FailureCode, JobKind, JobState
from app.objects.removal import remove_folder
from app.objects.storage import CorruptObjectError
from app.objects.untrusted import UntrustedFileError
from app.records import leases
from app.records.database import reading
from app.records.leases import Claim
from app.records.tables import JobRow
from worker.checkpoints import Checkpoints
from worker.context import WorkerContext
from worker.endings import LOG, WORK, Endings
from worker.job_request import JobRows, make_limits, make_request, most_seconds, read_rows
from worker.lease import Lease
from worker.memory_kills import count_memory_kills
from worker.messages import Failed, Message, Saved, StageStarted, Succeeded
from worker.metrics import AttemptMetrics
from worker.orphans import note_processes
from worker.recorder import Recorder
from worker.retry import DISCONNECTED, retry
from worker.supervisor import Ending, Finished, Listener, run_process
from worker.time_limit import InterruptedAttemptError, TimeLimit

log = structlog.get_logger(__name__)

_KILLED = -9

T = TypeVar("T")


class Attempt:
    """Runs one claimed job, from fetching its inputs to recording its outcome."""

    def __init__(
        self, context: WorkerContext, claim: Claim, lease: Lease, measured: AttemptMetrics
    ) -> None:
        self._context, self._claim, self._lease = context, claim, lease
        self._measured = measured
        self._home = context.settings.scratch_dir / "jobs" / claim.job_id
        self._folder = self._home / f"attempt-{claim.attempt}-{claim.token}"
        self._work = self._folder / WORK  # all of the attempt that the process can write
        self._limits = context.settings.outputs
        self._recorder = Recorder(context.sessions, claim, self._limits)
        self._endings = Endings(context, claim, lease, self._recorder, self._folder, measured)
        self._copying: Future[None] | None = None
        self._is_over = threading.Event()

    def run(self) -> None:
        """Run the job's process, record its outcome, and remove its files."""
        try:
            (self._work / "out").mkdir(parents=True)
            self._checkpoints = Checkpoints(
                self._home / "checkpoints", self._context.store, self._claim, self._limits
            )
            with ThreadPoolExecutor(1, "checkpoints") as self._copier:
                try:
                    self._run()
                finally:
                    self._is_over.set()
        except InterruptedAttemptError:
            if not self._lease.is_lost.is_set():
                self._leave()
        except (CorruptObjectError, FileNotFoundError):
            log.exception("job.object_missing", job_id=self._claim.job_id)
            message = "The object store does not have the job's files."
            self._endings.retry_or_fail(FailureCode.STORAGE_UNAVAILABLE, message)
        except UnavailableError:
            log.exception("job.storage_unavailable", job_id=self._claim.job_id)
            self._endings.set_back_by_store(FAILURES[FailureCode.STORAGE_UNAVAILABLE].message)
        except OSError as error:
            log.exception("job.disk_failed", job_id=self._claim.job_id)
            message = f"the worker's disk: {error.strerror or 'input or output failed'}"
            remove_folder(self._folder)
            self._endings.set_back(FailureCode.STORAGE_UNAVAILABLE, message)
        finally:
            remove_folder(self._folder)
            self._forget_if_over()

    def _run(self) -> None:
        settings = self._context.settings
        rows = self._retry(self._read)
        time_limit = TimeLimit(self._limits.store_seconds, self._is_to_stop)
        self._checkpoints.fetch(rows.job.checkpoint, time_limit)
        request = make_request(
            rows, settings, self._context.store, self._work, self._checkpoints.folder, time_limit
        )
        limits = make_limits(rows.job, settings, self._context.num_slots)
        num_kills = count_memory_kills()
        listener = Listener(self._note, self._take, self._is_to_stop)
        finished = run_process(
            self._context.server, request, self._work, self._folder / LOG, limits, listener
        )
        self._measured.end_stage()
        if self._lease.is_lost.is_set():
            return
        self._retry(self._recorder.flush)
        was_memory = finished.return_code == _KILLED and count_memory_kills() > num_kills
        self._apply(finished, rows, was_memory=was_memory)

    def _read(self) -> JobRows:
        with reading(self._context.sessions) as session:
            return read_rows(session, self._claim.job_id)

    def _apply(self, finished: Finished, rows: JobRows, *, was_memory: bool) -> None:
        """Record the outcome of the process."""
        ending, batch_size = finished.ending, rows.config.retrain.batch_size
        if isinstance(ending, Succeeded):
            self._endings.succeed(ending, JobKind(rows.job.kind))
        elif isinstance(ending, Failed):
            self._endings.take_failure(ending, batch_size)
        elif ending is Ending.INTERRUPTED:
            if not self._lease.is_cancel_requested.is_set():
                self._submit_copy().result()
            self._leave()
        elif ending is Ending.OUT_OF_MEMORY:
            self._endings.take_excess(finished, batch_size)
        elif ending is Ending.DIED and was_memory:
            self._endings.take_kill(finished, batch_size)
        else:
            worker = self._context.settings.worker
            self._endings.take_silence(
                finished, most_seconds(rows.job, worker), worker.progress_timeout_seconds
            )

    def _leave(self) -> None:
        """End an attempt that a cancellation, a pause or a shutdown stopped."""
        if self._lease.is_cancel_requested.is_set():
            self._endings.mark_cancelled()
            return
        self._endings.hand_back()

    def _is_to_stop(self) -> bool:
        return self._context.stopping.is_set() or self._lease.is_stop_requested

    def _is_pointless(self) -> bool:
        """Return whether nobody waits for a copy of the checkpoint."""
        lease = self._lease
        return (
            self._is_over.is_set() or lease.is_lost.is_set() or lease.is_cancel_requested.is_set()
        )

    def _note(self, pid: int) -> None:
        note_processes(self._folder, pid)

    def _take(self, messages: Sequence[Message]) -> None:
        for message in messages:
            if isinstance(message, StageStarted):
                self._measured.begin_stage(message.stage)
        self._recorder.add(messages)
        is_free = self._copying is None or self._copying.done()
        if is_free and any(isinstance(message, Saved) for message in messages):
            # In its own thread: an unreachable store must not delay the cancellation of a job.
            self._copying = self._submit_copy()

    def _submit_copy(self) -> Future[None]:
        return self._copier.submit(copy_context().run, self._copy_checkpoint)  # for the log

    def _copy_checkpoint(self) -> None:
        def keep(files: dict[str, str]) -> Sequence[str]:
            most = self._context.settings.worker.max_setbacks
            with self._context.sessions.begin() as session:
                return tuple(leases.keep_checkpoint(session, self._claim, files, most))

        metrics = self._context.metrics
        time_limit = TimeLimit(self._limits.store_seconds, self._is_pointless)
        begun = time.monotonic()
        try:
            if self._checkpoints.store(keep, time_limit):
                metrics.checkpoint_seconds.observe(time.monotonic() - begun)
        except InterruptedAttemptError:
            return
        except (UnavailableError, UntrustedFileError, OSError, *DISCONNECTED):
            # The checkpoint is still on this machine; only another machine would start over.
            metrics.checkpoint_failures.inc()
            log.warning("checkpoint.not_stored", job_id=self._claim.job_id, exc_info=True)

    def _retry(self, call: Callable[[], T]) -> T:
        return retry(call, self._lease.is_lost, self._context.settings.worker.outage_seconds)

    def _forget_if_over(self) -> None:
        try:
            with reading(self._context.sessions) as session:
                job = session.get(JobRow, self._claim.job_id)
                is_over = job is None or JobState(job.state).is_final
        except DISCONNECTED:
            return  # the hourly collection removes the folder
        if is_over:
            remove_folder(self._home)

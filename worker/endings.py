"""Map how a job's process ended to the job's next state, one guarded transaction per outcome."""

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import structlog
from sqlalchemy.orm import Session

from app.contracts.job import FAILURES, FailureCode, JobKind, Stage
from app.contracts.onnx_files import OnnxError, check_onnx
from app.objects.removal import remove_folder
from app.objects.untrusted import UntrustedFileError
from app.records import leases, setbacks
from app.records.leases import Claim
from app.records.outcomes import Outcome
from app.records.setbacks import Setback
from app.records.tables import JobRow
from worker.context import WorkerContext
from worker.lease import Lease
from worker.messages import Failed, OutputFile, Succeeded
from worker.metrics import LOST, AttemptMetrics
from worker.outage import Outage
from worker.outputs import copy_outputs, store_copies
from worker.recorder import Recorder
from worker.results import ResultRefusedError, check_result
from worker.retry import retry
from worker.supervisor import Ending, Finished
from worker.time_limit import TimeLimit

log = structlog.get_logger(__name__)

WORK, LOG = "work", "log.txt"  # the process can write only the first
_LOG_TAIL_BYTES = 4000
_OF_WORKER = frozenset(
    {
        FailureCode.DEVICE_UNAVAILABLE,
        FailureCode.STORAGE_UNAVAILABLE,
        FailureCode.WORKER_UNFIT,
    }
)
_NO_MEMORY = "the worker's machine ran out of memory, and its process was killed within its limit"
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # a terminal would obey them


class Endings:
    """Records the outcome of one attempt."""

    def __init__(
        self,
        context: WorkerContext,
        claim: Claim,
        lease: Lease,
        recorder: Recorder,
        folder: Path,
        measured: AttemptMetrics,
    ) -> None:
        """Create the recorder of outcomes.

        Args:
            context: The worker's shared objects.
            claim: The attempt.
            lease: Stops retries of writes once it is lost.
            recorder: Has the last stage that the process reported.
            folder: The attempt's folder.
            measured: Counts the outcome.
        """
        self._context, self._claim, self._lease = context, claim, lease
        self._recorder, self._folder, self._measured = recorder, folder, measured
        self._outage = Outage(
            context.settings.outputs.store_seconds,
            context.settings.worker.outage_seconds,
            self._is_pointless,
            lambda: context.stopping.is_set() or lease.is_stop_requested,
            context.fitness.note_outage,
        )

    def succeed(self, message: Succeeded, kind: JobKind) -> None:
        """Store the output files and mark the job as succeeded, unless one is refused.

        While the object store is away, the files wait here.

        Raises:
            InterruptedAttemptError: The attempt is to stop, or the lease is lost.
            UnavailableError: The object store was away for too long.
        """
        outputs, copies = self._context.settings.outputs, self._folder / "copies"
        try:
            check_result(kind, message)
            files = copy_outputs(
                self._folder / WORK,
                message.files,
                copies,
                outputs,
                TimeLimit(outputs.store_seconds, self._is_pointless),
                lambda file, copy: self._check(file, copy, message),
            )
        except UntrustedFileError as error:
            text = f"an output file of the job's process was refused: {error}"
            self._fail(FailureCode.OUTPUT_REFUSED, text)
            return
        except ResultRefusedError as error:
            self._fail(FailureCode.OUTPUT_REFUSED, str(error))
            return
        except OnnxError as error:
            self._fail(FailureCode.EXPORT_FAILED, f"the ONNX file {error}")
            return
        store = self._context.store
        with self._context.metrics.upload_seconds.time():
            self._outage.outlast(lambda limit: store_copies(copies, files, store, limit))
        if self._outage.seconds:
            self._context.fitness.end_rest()
        outcome = Outcome(
            message.result, message.report, files, message.onnx, message.program, message.int8
        )
        self._write(lambda session: leases.finish(session, self._claim, outcome))

    def _check(self, file: OutputFile, copy: Path, message: Succeeded) -> None:
        """Check the copy of a file that other processes will open."""
        if file.name in {message.onnx, message.int8}:
            limits = self._context.settings.limits
            with copy.open("rb") as opened:
                check_onnx(opened.read(limits.model_bytes + 1), limits)

    def _is_pointless(self) -> bool:
        """Return whether nobody waits for the outputs any more."""
        return self._lease.is_lost.is_set() or self._lease.is_cancel_requested.is_set()

    def take_failure(self, failed: Failed, batch_size: int) -> None:
        """Handle a failure that the process reported."""
        self._recorder.stage = failed.stage or self._recorder.stage
        if failed.code is FailureCode.OUT_OF_MEMORY:
            self._retry_smaller_or_fail(failed.message, batch_size)
        elif failed.code in _OF_WORKER:
            remove_folder(self._folder / WORK)  # the job may have filled the disk
            self.set_back(failed.code, failed.message)
        else:
            if failed.code is FailureCode.INTERNAL:
                self._log_tail(0)
            self._fail(failed.code, failed.message, failed.hint)

    def take_excess(self, finished: Finished, batch_size: int) -> None:
        """Handle a process that used more memory than a job may."""
        self._log_tail(finished.return_code)
        self._retry_smaller_or_fail(finished.cause, batch_size)

    def take_kill(self, finished: Finished, batch_size: int) -> None:
        """Handle a process that the kernel killed because memory ran out here.

        The process was within its own limit, so something else may have used the memory. The first
        kill of a job on each worker is a setback; after that, the job may need too much.
        """
        self._log_tail(finished.return_code)
        remove_folder(self._folder / WORK)
        self._context.fitness.note_failure(_NO_MEMORY)
        code, stage = FailureCode.OUT_OF_MEMORY, self._stage()
        setback = Setback(code, _NO_MEMORY, stage, is_of_worker=True, is_certain=False)
        most = self._context.settings.worker.max_setbacks

        def change(session: Session) -> bool:
            if setbacks.is_first_on_worker(session, self._claim):
                return setbacks.set_back(session, self._claim, setback, most)
            message = FAILURES[code].message
            return leases.retry_smaller_or_fail(session, self._claim, message, stage, batch_size)

        self._write(change, code)

    def take_silence(
        self, finished: Finished, most_seconds: float, progress_timeout_seconds: float
    ) -> None:
        """Handle a process that ended, or was stopped, without a last message.

        Args:
            finished: How the process ended.
            most_seconds: Time limit of the job, over all attempts.
            progress_timeout_seconds: Longest time without progress.
        """
        ending = finished.ending
        if ending is Ending.TIME_LIMIT:
            message = f"ran past its time limit of {most_seconds:g} s"
            self._fail(FailureCode.TIME_LIMIT, message)
        elif ending is Ending.NOT_STARTED:
            message = f"the worker cannot run jobs: {finished.cause}"
            self._context.fitness.note_server_failure(message)
            self._set_back(FailureCode.WORKER_UNFIT, message, is_of_worker=True, is_certain=True)
        else:
            self._log_tail(finished.return_code)
            if ending is Ending.STALLED:
                message = f"made no progress for {progress_timeout_seconds:g} s"
                self.retry_or_fail(FailureCode.TIME_LIMIT, message)
            elif ending is Ending.REFUSED:
                self._fail(FailureCode.OUTPUT_REFUSED, finished.cause)
            elif ending is Ending.DISK_LIMIT:
                remove_folder(self._folder / WORK)  # others need the space
                self._fail(FailureCode.DISK_LIMIT, finished.cause)
            elif ending is Ending.TOO_MANY_THREADS:
                self._fail(FailureCode.INTERNAL, finished.cause)
            elif ending is Ending.GARBLED:
                self._fail(FailureCode.INTERNAL, FAILURES[FailureCode.INTERNAL].message)
            else:
                self._take_death(_how_it_ended(finished.return_code))

    def _take_death(self, message: str) -> None:
        """Handle a process that ended by itself without a last message."""
        remove_folder(self._folder / WORK)
        trouble = self._context.fitness.find_scratch_trouble()
        if trouble is None:
            self.retry_or_fail(FailureCode.INTERNAL, message)
            return
        code = FailureCode.STORAGE_UNAVAILABLE
        self._set_back(code, trouble, is_of_worker=True, is_certain=True)

    def mark_cancelled(self) -> None:
        """Mark the job as cancelled."""
        self._write(lambda session: leases.mark_cancelled(session, self._claim))

    def hand_back(self) -> None:
        """Release the job to other workers, or keep it paused."""
        is_drained = self._lease.is_drain_requested.is_set()
        reason = "the worker was drained" if is_drained else "the worker shuts down"
        self._write(lambda session: leases.hand_back(session, self._claim, reason))

    def set_back(self, code: FailureCode, message: str) -> None:
        """Queue the job again after a failure of this worker, or one that looks like it."""
        is_certain = self._context.fitness.note_failure(message)
        self._set_back(code, message, is_of_worker=True, is_certain=is_certain)

    def set_back_by_store(self, message: str) -> None:
        """Queue the job again because the object store is away."""
        self._context.fitness.note_outage(message)
        code = FailureCode.STORAGE_UNAVAILABLE
        self._set_back(code, message, is_of_worker=False, is_certain=True)

    def retry_or_fail(self, code: FailureCode, message: str) -> None:
        """Queue the job again, or fail it if no attempt is left."""
        stage, most = self._stage(), self._context.settings.worker.max_setbacks
        self._write(
            lambda session: setbacks.retry_or_fail(
                session, self._claim, code, message, stage, most
            ),
            code,
        )

    def _retry_smaller_or_fail(self, message: str, size: int) -> None:
        stage = self._stage()
        self._write(
            lambda session: leases.retry_smaller_or_fail(
                session, self._claim, message, stage, size
            ),
            FailureCode.OUT_OF_MEMORY,
        )

    def _fail(self, code: FailureCode, message: str, hint: str = "") -> None:
        stage = self._stage()
        self._write(
            lambda session: leases.fail(session, self._claim, code, message, stage, hint), code
        )

    def _set_back(
        self, code: FailureCode, message: str, *, is_of_worker: bool, is_certain: bool
    ) -> None:
        setback = Setback(
            code, message, self._stage(), is_of_worker=is_of_worker, is_certain=is_certain
        )
        most = self._context.settings.worker.max_setbacks
        self._write(lambda session: setbacks.set_back(session, self._claim, setback, most), code)

    def _stage(self) -> Stage:
        return self._recorder.stage or Stage.INTAKE

    def _write(self, change: Callable[[Session], bool], code: FailureCode | None = None) -> None:
        """Write the outcome and count it; ``code`` says why the attempt failed, if it did."""

        def transaction() -> str:
            with self._context.sessions.begin() as session:
                if self._outage.seconds:
                    setbacks.deduct_wait(session, self._claim, self._outage.seconds)
                is_held = change(session)
                return session.get_one(JobRow, self._claim.job_id).state if is_held else LOST

        seconds = self._context.settings.worker.outage_seconds
        outcome = retry(transaction, self._lease.is_lost, seconds)
        self._measured.note_outcome(outcome, code)

    def _log_tail(self, return_code: int | None) -> None:
        """Log the end of the process's output for the operator; users never see it."""
        try:
            with (self._folder / LOG).open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _LOG_TAIL_BYTES))
                tail = file.read(_LOG_TAIL_BYTES).decode(errors="replace")
        except FileNotFoundError:
            tail = ""
        tail = _CONTROLS.sub("\ufffd", tail)
        log.error(
            "job.process_failed", job_id=self._claim.job_id, return_code=return_code, tail=tail
        )


def _how_it_ended(return_code: int | None) -> str:
    """Return the message for a process that ended without a last message."""
    if return_code is None or return_code >= 0:
        return f"its process exited with code {return_code} and gave no reason"
    try:
        name = signal.Signals(-return_code).name
    except ValueError:
        name = f"signal {-return_code}"
    return f"its process crashed or was killed: {name}"

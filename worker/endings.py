"""Map how a job's process ended to the job's next state, one guarded transaction per outcome."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

from app.contracts.job import FAILURES, FailureCode, Stage
from app.contracts.onnx_files import OnnxError, check_onnx
from app.records import leases
from app.records.leases import Claim
from app.records.outcomes import Outcome, StoredFile
from worker.context import WorkerContext
from worker.lease import Lease
from worker.messages import Failed, Succeeded
from worker.recorder import Recorder
from worker.retry import retry
from worker.supervisor import Ending, Finished

log = structlog.get_logger(__name__)

_LOG_TAIL_CHARACTERS = 4000

T = TypeVar("T")


class Endings:
    """Records the outcome of one attempt."""

    def __init__(
        self, context: WorkerContext, claim: Claim, lease: Lease, recorder: Recorder, folder: Path
    ) -> None:
        """Create the recorder of outcomes.

        Args:
            context: The worker's shared objects.
            claim: The attempt.
            lease: Stops retries of writes once it is lost.
            recorder: Has the last stage that the process reported.
            folder: The attempt's folder.
        """
        self._context, self._claim, self._lease = context, claim, lease
        self._recorder, self._folder = recorder, folder

    def succeed(self, message: Succeeded) -> None:
        """Store the output files and mark the job as succeeded, unless its ONNX file is refused."""
        folder = self._folder / "out"
        if message.onnx is not None:
            try:
                check_onnx((folder / message.onnx).read_bytes(), self._context.settings.limits)
            except OnnxError as error:
                self._fail(FailureCode.EXPORT_FAILED, f"the ONNX file {error}", "")
                return
        files = tuple(
            StoredFile(
                file.name,
                file.media_type,
                self._context.store.put_file(folder / file.name),
                (folder / file.name).stat().st_size,
            )
            for file in message.files
        )
        outcome = Outcome(message.result, message.report, files, message.onnx, message.program)
        self._write(lambda session: leases.finish(session, self._claim, outcome))

    def take_failure(self, failed: Failed, batch_size: int) -> None:
        """Handle a failure that the process reported."""
        self._recorder.stage = failed.stage or self._recorder.stage
        if failed.code is FailureCode.OUT_OF_MEMORY:
            self._retry_smaller_or_fail(failed.message, batch_size)
        elif failed.code in {FailureCode.STORAGE_UNAVAILABLE, FailureCode.WORKER_UNFIT}:
            self.retry_or_fail(failed.code, failed.message)
        else:
            if failed.code is FailureCode.INTERNAL:
                self._log_tail(0)
            self._fail(failed.code, failed.message, failed.hint)

    def take_kill(self, finished: Finished, batch_size: int) -> None:
        """Handle a process that the kernel killed because memory ran out."""
        self._log_tail(finished.return_code)
        self._retry_smaller_or_fail(FAILURES[FailureCode.OUT_OF_MEMORY].message, batch_size)

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
            self.retry_or_fail(FailureCode.WORKER_UNFIT, message)
        else:
            self._log_tail(finished.return_code)
            if ending is Ending.STALLED:
                message = f"made no progress for {progress_timeout_seconds:g} s"
                self.retry_or_fail(FailureCode.TIME_LIMIT, message)
            elif ending is Ending.GARBLED:
                self._fail(FailureCode.INTERNAL, FAILURES[FailureCode.INTERNAL].message)
            else:
                self.retry_or_fail(FailureCode.INTERNAL, _how_it_ended(finished.return_code))

    def mark_cancelled(self) -> None:
        """Mark the job as cancelled."""
        self._write(lambda session: leases.mark_cancelled(session, self._claim))

    def hand_back(self) -> None:
        """Release the job to other workers, or keep it paused."""
        self._write(lambda session: leases.hand_back(session, self._claim))

    def retry_or_fail(self, code: FailureCode, message: str) -> None:
        """Queue the job again, or fail it if no attempt is left."""
        stage = self._stage()
        self._write(
            lambda session: leases.retry_or_fail(session, self._claim, code, message, stage)
        )

    def _retry_smaller_or_fail(self, message: str, size: int) -> None:
        stage = self._stage()
        self._write(
            lambda session: leases.retry_smaller_or_fail(session, self._claim, message, stage, size)
        )

    def _fail(self, code: FailureCode, message: str, hint: str = "") -> None:
        stage = self._stage()
        self._write(lambda session: leases.fail(session, self._claim, code, message, stage, hint))

    def _stage(self) -> Stage:
        return self._recorder.stage or Stage.INTAKE

    def _write(self, change: Callable[[Session], T]) -> T:
        def transaction() -> T:
            with self._context.sessions.begin() as session:
                return change(session)

        return retry(transaction, self._lease.is_lost)

    def _log_tail(self, return_code: int | None) -> None:
        """Log the end of the process's output for the operator; users never see it."""
        path = self._folder / "log.txt"
        tail = path.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:] if path.exists() else ""
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

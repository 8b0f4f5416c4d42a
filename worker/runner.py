"""Run one job: claim, fetch, process, store, finish; no session is open while tensors move."""

import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import structlog

from app.contracts.database import Sessions, reading
from app.contracts.errors import UnavailableError
from app.contracts.job import FAILURES, FailureCode, JobKind, JobState, Stage
from app.contracts.repositories import jobs, leases
from app.contracts.repositories.leases import Claim, Outcome, StoredFile
from app.contracts.settings import Settings
from app.contracts.spec import ArchitectureSpec, PreprocessSpec, PruneConfig
from app.contracts.storage import ObjectStore
from app.contracts.tables import DatasetRow, JobRow, ModelRow
from worker.lease import Lease
from worker.protocol import (
    Failed,
    JobRequest,
    Message,
    Metric,
    Progress,
    StageStarted,
    Succeeded,
    Warned,
)
from worker.supervisor import PIPELINE, Ending, Finished, Limits, run_process

log = structlog.get_logger(__name__)

_RECORD_SECONDS = 1.0
_RING_AGAIN_TICKS = 3  # a doorbell is lost if nobody came for this many ticks
_KILLED = -9
_PLAN_SECONDS = 3600.0  # a plan that nobody fetched is forgotten
_LOG_TAIL_CHARACTERS = 4000


class Runner:
    """What a worker does with a job id."""

    def __init__(  # its collaborators
        self,
        settings: Settings,
        sessions: Sessions,
        store: ObjectStore,
        ring: Callable[[str, str], None],
        stopping: threading.Event,
        argv: Sequence[str] = PIPELINE,
    ) -> None:
        self._settings, self._sessions, self._store = settings, sessions, store
        self._ring, self._stopping, self._argv = ring, stopping, argv
        self._owner = f"{socket.gethostname()}:{os.getpid()}"

    def run_job(self, job_id: str) -> None:
        """Run a job if it is there to be claimed; otherwise somebody else has it."""
        worker = self._settings.worker
        if self._stopping.is_set():
            return  # it stays queued, and is rung again
        with self._sessions.begin() as session:
            claim = leases.claim(
                session, job_id=job_id, owner=self._owner, lease_seconds=worker.lease_seconds
            )
        if claim is None:
            return
        bound = log.bind(job_id=job_id, attempt=claim.attempt)
        bound.info("job.claimed")
        home = self._settings.scratch_dir / "jobs" / job_id
        folder = home / f"attempt-{claim.attempt}-{claim.token}"
        (folder / "out").mkdir(parents=True)
        (home / "checkpoints").mkdir(exist_ok=True)
        try:
            with Lease(
                self._sessions, claim, worker.lease_seconds, worker.heartbeat_seconds
            ) as lease:
                self._run_claimed(claim, folder, home / "checkpoints", lease)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            self._forget_if_ended(job_id, home)
        bound.info("job.left")

    def ring_again(self) -> None:
        """Ring for jobs that stayed queued: their doorbell was lost, or they waited to be due."""
        age = _RING_AGAIN_TICKS * self._settings.queue.ring_seconds
        with self._sessions.begin() as session:
            found = jobs.take_unrung(session, age)
        for job_id, queue in found:
            self._ring(job_id, queue)

    def reap(self) -> None:
        """Take back leases that ran out."""
        with self._sessions.begin() as session:
            reaped = leases.reap_expired(session)
            jobs.forget_plans(session, older_than_seconds=_PLAN_SECONDS)
        for job_id in reaped:
            log.warning("job.lease_expired", job_id=job_id)

    def _run_claimed(self, claim: Claim, folder: Path, checkpoints: Path, lease: Lease) -> None:
        stage = Stage.INTAKE
        try:
            request = self._prepare(claim, folder, checkpoints)
            recorder = _Recorder(self._sessions, claim)
            finished = run_process(
                request,
                folder,
                self._limits(request.kind),
                recorder.add,
                lambda: (
                    self._stopping.is_set()
                    or lease.is_lost.is_set()
                    or lease.is_cancel_requested.is_set()
                ),
                argv=self._argv,
                environment=os.environ,  # noqa: TID251  # handed on in part, not read
            )
            recorder.flush()
            stage = recorder.stage or stage
            if lease.is_lost.is_set():
                return
            outcome = self._store_files(finished, folder / "out")
        except (UnavailableError, FileNotFoundError):
            log.exception("job.storage_unavailable", job_id=claim.job_id)
            self._retry_or_fail(claim, FailureCode.STORAGE_UNAVAILABLE, stage)
            return
        self._apply(claim, finished, outcome, lease, folder, stage)

    def _prepare(self, claim: Claim, folder: Path, checkpoints: Path) -> JobRequest:
        """Fetch the inputs and say what to do with them."""
        with reading(self._sessions) as session:
            job = session.get_one(JobRow, claim.job_id)
            model = session.get(ModelRow, job.model_id) if job.model_id else None
            dataset = session.get(DatasetRow, job.dataset_id) if job.dataset_id else None
        model_path, dataset_path = folder / "model.pt2", folder / "dataset"
        if model is not None:
            self._store.fetch(model.sha256, model_path)
        if dataset is not None:
            self._store.fetch(dataset.sha256, dataset_path)
        worker = self._settings.worker
        return JobRequest(
            job_id=job.id,
            kind=JobKind(job.kind),
            attempt=claim.attempt,
            config=PruneConfig.model_validate(job.resolved or {}),
            model_path=model_path if model is not None else None,
            architecture=(
                ArchitectureSpec.model_validate(model.architecture)
                if model is not None and model.architecture is not None
                else None
            ),
            model_id=model.id if model is not None else None,
            model_sha256=model.sha256 if model is not None else None,
            dataset_path=dataset_path if dataset is not None else None,
            dataset_id=dataset.id if dataset is not None else None,
            dataset_sha256=dataset.sha256 if dataset is not None else None,
            dataset_format=dataset.format if dataset is not None else None,
            preprocess=(
                PreprocessSpec.model_validate(dataset.preprocess) if dataset is not None else None
            ),
            output_dir=folder / "out",
            checkpoint_dir=checkpoints,
            cache_dir=self._settings.scratch_dir / "cache",
            device=worker.device,
            num_threads=worker.num_threads,
            serving_num_threads=self._settings.inference.num_threads,
            image_pixels=self._settings.limits.image_pixels,
        )

    def _limits(self, kind: JobKind) -> Limits:
        worker = self._settings.worker
        is_prune = kind is JobKind.PRUNE
        return Limits(
            worker.time_limit_seconds if is_prune else worker.intake_time_limit_seconds,
            worker.progress_timeout_seconds,
            worker.cancel_grace_seconds,
            worker.memory_bytes,
        )

    def _store_files(self, finished: Finished, folder: Path) -> Outcome | None:
        message = finished.ending
        if not isinstance(message, Succeeded):
            return None
        files = tuple(
            StoredFile(
                file.name,
                file.media_type,
                self._store.put_file(folder / file.name),
                (folder / file.name).stat().st_size,
            )
            for file in message.files
        )
        return Outcome(message.result, message.report, files, message.onnx, message.program)

    def _apply(  # everything an ending depends on
        self,
        claim: Claim,
        finished: Finished,
        outcome: Outcome | None,
        lease: Lease,
        folder: Path,
        stage: Stage,
    ) -> None:
        ending = finished.ending
        if outcome is not None:
            with self._sessions.begin() as session:
                _is_good, released = leases.finish(session, claim, outcome)
            for job_id, queue in released:
                self._ring(job_id, queue)
        elif isinstance(ending, Failed):
            self._fail(claim, ending.code, ending.message, ending.stage or stage, folder)
        elif ending is Ending.INTERRUPTED:
            with self._sessions.begin() as session:
                if lease.is_cancel_requested.is_set():
                    leases.mark_cancelled(session, claim)
                else:
                    leases.hand_back(session, claim)
        elif ending is Ending.TIME_LIMIT:
            limit = self._settings.worker.time_limit_seconds
            self._fail(claim, FailureCode.TIME_LIMIT, f"ran past {limit:g} s", stage, folder)
        elif ending is Ending.STALLED:
            limit = self._settings.worker.progress_timeout_seconds
            message = f"made no progress for {limit:g} s"
            self._fail(claim, FailureCode.TIME_LIMIT, message, stage, folder)
        elif ending is Ending.GARBLED:
            code = FailureCode.INTERNAL
            self._fail(claim, code, FAILURES[code].message, stage, folder)
        else:
            self._log_tail(claim, folder, finished.return_code)
            code = FailureCode.INTERNAL
            if finished.return_code == _KILLED:  # by the kernel for memory, or by an operator
                code = FailureCode.OUT_OF_MEMORY
            self._retry_or_fail(claim, code, stage)

    def _fail(
        self, claim: Claim, code: FailureCode, message: str, stage: Stage, folder: Path
    ) -> None:
        if code is FailureCode.INTERNAL:
            self._log_tail(claim, folder, 0)
        with self._sessions.begin() as session:
            leases.fail(session, claim, code, message, stage)

    def _retry_or_fail(self, claim: Claim, code: FailureCode, stage: Stage) -> None:
        with self._sessions.begin() as session:
            leases.retry_or_fail(session, claim, code, FAILURES[code].message, stage)

    def _log_tail(self, claim: Claim, folder: Path, return_code: int) -> None:
        """Keep the end of the process's own output for the operator; users never see it."""
        path = folder / "log.txt"
        tail = path.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:] if path.exists() else ""
        log.error("job.process_failed", job_id=claim.job_id, return_code=return_code, tail=tail)

    def _forget_if_ended(self, job_id: str, home: Path) -> None:
        with reading(self._sessions) as session:
            job = session.get(JobRow, job_id)
            is_over = job is None or JobState(job.state).is_final
        if is_over:
            shutil.rmtree(home, ignore_errors=True)


class _Recorder:
    """Writes what a process reports to its row and events, about once a second."""

    def __init__(self, sessions: Sessions, claim: Claim) -> None:
        self.stage: Stage | None = None
        self._sessions, self._claim = sessions, claim
        self._pending: list[Message] = []
        self._written_at = 0.0

    def add(self, messages: Sequence[Message]) -> None:
        """Take messages; write them if a second has passed, or a stage."""
        self._pending += messages
        is_due = time.monotonic() - self._written_at >= _RECORD_SECONDS
        is_new_stage = any(isinstance(message, StageStarted) for message in messages)
        if self._pending and (is_due or is_new_stage):
            self.flush()

    def flush(self) -> None:
        """Write what is pending."""
        pending, self._pending = self._pending, []
        if not pending:
            return
        self._written_at = time.monotonic()
        progress = [m for m in pending if isinstance(m, Progress)]
        events = [
            (_EVENT_TYPES[type(m)], _event_data(m))
            for m in pending
            if not isinstance(m, Progress) or m is progress[-1]
        ]
        for message in pending:
            if isinstance(message, StageStarted):
                self.stage = message.stage
        with self._sessions.begin() as session:
            leases.record(
                session,
                self._claim,
                events,
                stage=self.stage,
                progress=progress[-1].model_dump(exclude={"type"}) if progress else None,
                warnings=[m.message for m in pending if isinstance(m, Warned)],
            )


def _event_data(message: Message) -> dict[str, Any]:
    if isinstance(message, Metric):
        return message.data
    return message.model_dump(mode="json", exclude={"type"})


_EVENT_TYPES: dict[type[object], str] = {
    StageStarted: "stage.started",
    Progress: "progress",
    Metric: "metric",
    Warned: "warning",
}

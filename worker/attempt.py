"""One attempt at a job: fetch, process, store, finish; no session is open while tensors move."""

import math
import os
import shutil
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import structlog
from sqlalchemy.orm import Session

from app.contracts.errors import UnavailableError
from app.contracts.job import FAILURES, FailureCode, JobKind, JobState, Stage
from app.contracts.settings import Settings
from app.contracts.spec import ArchitectureSpec, PreprocessSpec, PruneConfig
from app.objects.storage import ObjectStore
from app.records import leases
from app.records.database import Sessions, reading
from app.records.leases import Claim
from app.records.outcomes import Outcome, StoredFile
from app.records.tables import DatasetRow, JobRow, ModelRow
from worker.checkpoints import Checkpoints
from worker.fork_server.client import ForkServer
from worker.fork_server.limits import ProcessLimits
from worker.lease import Lease
from worker.memory_kills import count_memory_kills
from worker.messages import Failed, JobRequest, Message, Saved, Succeeded
from worker.orphans import note_processes
from worker.recorder import Recorder
from worker.retry import AWAY, patiently
from worker.supervisor import Ending, Finished, Limits, Listener, run_process

log = structlog.get_logger(__name__)

_KILLED = -9
_LOG_TAIL_CHARACTERS = 4000

T = TypeVar("T")


@dataclass(frozen=True)
class Workshop:
    """What every attempt of a worker works with.

    Attributes:
        settings: Of the service.
        sessions: Transactions.
        store: Objects.
        stopping: Set when this worker shuts down.
        server: Forks the jobs' processes.
    """

    settings: Settings
    sessions: Sessions
    store: ObjectStore
    stopping: threading.Event
    server: ForkServer


class Attempt:
    """A claimed job, from its inputs to its ending."""

    def __init__(self, shop: Workshop, claim: Claim, lease: Lease) -> None:
        self._shop, self._claim, self._lease = shop, claim, lease
        self._home = shop.settings.scratch_dir / "jobs" / claim.job_id
        self._folder = self._home / f"attempt-{claim.attempt}-{claim.token}"
        self._recorder = Recorder(shop.sessions, claim)
        self._copying: Future[None] | None = None
        self._batch_size = 1
        self._most_seconds = 0.0  # over all attempts

    def run(self) -> None:
        """Run the job's process and write down how it ended; leave nothing on the disk."""
        try:
            (self._folder / "out").mkdir(parents=True)
            self._checkpoints = Checkpoints(
                self._home / "checkpoints", self._shop.store, self._claim
            )
            with ThreadPoolExecutor(1, "checkpoints") as self._copier:
                self._run()
        except (UnavailableError, FileNotFoundError):
            log.exception("job.storage_unavailable", job_id=self._claim.job_id)
            message = FAILURES[FailureCode.STORAGE_UNAVAILABLE].message
            self._retry_or_fail(FailureCode.STORAGE_UNAVAILABLE, message)
        except OSError as error:
            log.exception("job.disk_failed", job_id=self._claim.job_id)
            message = f"the worker's disk: {error.strerror or 'input or output failed'}"
            self._retry_or_fail(FailureCode.STORAGE_UNAVAILABLE, message)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._forget_if_over()

    def _run(self) -> None:
        request, limits = self._prepare()
        num_kills = count_memory_kills()
        listener = Listener(self._note, self._hear, self._is_to_stop)
        finished = run_process(self._shop.server, request, self._folder, limits, listener)
        if self._lease.is_lost.is_set():
            return
        self._patiently(self._recorder.flush)
        was_memory = finished.return_code == _KILLED and count_memory_kills() > num_kills
        self._apply(finished, limits, was_memory=was_memory)

    def _prepare(self) -> tuple[JobRequest, Limits]:
        """Fetch the inputs; say what to do with them, and in what bounds."""
        shop, claim, folder = self._shop, self._claim, self._folder
        job, model, dataset = self._patiently(self._read)
        model_path, dataset_path = folder / "model.pt2", folder / "dataset"
        if model is not None:
            shop.store.fetch(model.sha256, model_path)
        if dataset is not None:
            shop.store.fetch(dataset.sha256, dataset_path)
        self._checkpoints.fetch(job.checkpoint)
        config = PruneConfig.model_validate(job.resolved or {})
        self._batch_size = config.retrain.batch_size
        worker = shop.settings.worker
        is_prune = job.kind == JobKind.PRUNE
        most = worker.time_limit_seconds if is_prune else worker.intake_time_limit_seconds
        self._most_seconds = min(most, job.time_limit_seconds or most)
        seconds = max(0.0, self._most_seconds - job.seconds_run)
        request = JobRequest(
            job_id=job.id,
            kind=JobKind(job.kind),
            attempt=claim.attempt,
            config=_with_smaller_batches(config, job.batch_divisor),
            model_path=model_path if model is not None else None,
            architecture=(
                ArchitectureSpec.model_validate(model.architecture)
                if model is not None and model.architecture is not None
                else None
            ),
            model_id=model.id if model is not None else None,
            model_name=model.name if model is not None else None,
            model_sha256=model.sha256 if model is not None else None,
            dataset_path=dataset_path if dataset is not None else None,
            dataset_id=dataset.id if dataset is not None else None,
            dataset_name=dataset.name if dataset is not None else None,
            dataset_sha256=dataset.sha256 if dataset is not None else None,
            dataset_format=dataset.format if dataset is not None else None,
            preprocess=(
                PreprocessSpec.model_validate(dataset.preprocess) if dataset is not None else None
            ),
            output_dir=folder / "out",
            checkpoint_dir=self._checkpoints.folder,
            checkpoint_seconds=worker.checkpoint_seconds,
            cache_dir=shop.settings.scratch_dir / "cache",
            time_limit_seconds=seconds if is_prune else None,
            # What is not a pruning job waits for no GPU, and needs none.
            device=worker.device if is_prune else "cpu",
            num_threads=worker.num_threads,
            serving_num_threads=shop.settings.inference.num_threads,
            limits=shop.settings.limits,
        )
        limits = Limits(
            time_limit_seconds=seconds,
            progress_timeout_seconds=worker.progress_timeout_seconds,
            grace_seconds=worker.cancel_grace_seconds,
            process=ProcessLimits(
                worker.memory_bytes,
                worker.file_bytes,
                worker.open_files,
                cpu_seconds=_cpu_seconds(seconds),
            ),
        )
        return request, limits

    def _read(self) -> tuple[JobRow, ModelRow | None, DatasetRow | None]:
        with reading(self._shop.sessions) as session:
            job = session.get_one(JobRow, self._claim.job_id)
            model = session.get(ModelRow, job.model_id) if job.model_id else None
            dataset = session.get(DatasetRow, job.dataset_id) if job.dataset_id else None
        return job, model, dataset

    def _is_to_stop(self) -> bool:
        lease = self._lease
        return (
            self._shop.stopping.is_set()
            or lease.is_lost.is_set()
            or lease.is_cancel_requested.is_set()
            or lease.is_pause_requested.is_set()
        )

    def _note(self, pid: int) -> None:
        note_processes(self._folder, pid)

    def _hear(self, messages: Sequence[Message]) -> None:
        self._recorder.add(messages)
        is_free = self._copying is None or self._copying.done()
        if is_free and any(isinstance(message, Saved) for message in messages):
            # Beside the listening: a store that is away must not keep a cancelled job running.
            self._copying = self._copier.submit(self._copy_checkpoint)

    def _copy_checkpoint(self) -> None:
        def keep(files: dict[str, str]) -> Sequence[str]:
            with self._shop.sessions.begin() as session:
                return tuple(leases.keep_checkpoint(session, self._claim, files))

        try:
            self._checkpoints.store(keep)
        except (UnavailableError, OSError, *AWAY):
            # The folder on this machine has it; only another machine would start over.
            log.warning("checkpoint.not_stored", job_id=self._claim.job_id, exc_info=True)

    def _apply(self, finished: Finished, limits: Limits, *, was_memory: bool) -> None:
        """Write down what an ending means."""
        ending = finished.ending
        if isinstance(ending, Succeeded):
            self._finish(ending)
        elif isinstance(ending, Failed):
            self._take_failure(ending)
        elif ending is Ending.INTERRUPTED:
            self._leave()
        elif ending is Ending.TIME_LIMIT:
            message = f"ran past its time limit of {self._most_seconds:g} s"
            self._fail(FailureCode.TIME_LIMIT, message)
        elif ending is Ending.STALLED:
            message = f"made no progress for {limits.progress_timeout_seconds:g} s"
            self._log_tail(finished.return_code)
            self._retry_or_fail(FailureCode.TIME_LIMIT, message)
        elif ending is Ending.GARBLED:
            self._log_tail(finished.return_code)
            self._fail(FailureCode.INTERNAL, FAILURES[FailureCode.INTERNAL].message)
        elif ending is Ending.NOT_STARTED:
            message = f"the worker cannot run jobs: {finished.cause}"
            self._retry_or_fail(FailureCode.WORKER_UNFIT, message)
        elif was_memory:
            self._log_tail(finished.return_code)
            self._retry_smaller_or_fail(FAILURES[FailureCode.OUT_OF_MEMORY].message)
        else:
            self._log_tail(finished.return_code)
            self._retry_or_fail(FailureCode.INTERNAL, _how_it_ended(finished.return_code))

    def _finish(self, message: Succeeded) -> None:
        folder = self._folder / "out"
        files = tuple(
            StoredFile(
                file.name,
                file.media_type,
                self._shop.store.put_file(folder / file.name),
                (folder / file.name).stat().st_size,
            )
            for file in message.files
        )
        outcome = Outcome(message.result, message.report, files, message.onnx, message.program)
        self._write(lambda session: leases.finish(session, self._claim, outcome))

    def _take_failure(self, failed: Failed) -> None:
        self._recorder.stage = failed.stage or self._recorder.stage
        if failed.code is FailureCode.OUT_OF_MEMORY:
            self._retry_smaller_or_fail(failed.message)
        elif failed.code in {FailureCode.STORAGE_UNAVAILABLE, FailureCode.WORKER_UNFIT}:
            self._retry_or_fail(failed.code, failed.message)
        else:
            if failed.code is FailureCode.INTERNAL:
                self._log_tail(0)
            self._fail(failed.code, failed.message, failed.hint)

    def _leave(self) -> None:
        """End an attempt that was stopped from outside."""
        if self._lease.is_cancel_requested.is_set():
            self._write(lambda session: leases.mark_cancelled(session, self._claim))
            return
        self._copier.submit(self._copy_checkpoint).result()
        self._write(lambda session: leases.hand_back(session, self._claim))

    def _fail(self, code: FailureCode, message: str, hint: str = "") -> None:
        stage = self._stage()
        self._write(lambda session: leases.fail(session, self._claim, code, message, stage, hint))

    def _retry_or_fail(self, code: FailureCode, message: str) -> None:
        stage = self._stage()
        self._write(
            lambda session: leases.retry_or_fail(session, self._claim, code, message, stage)
        )

    def _retry_smaller_or_fail(self, message: str) -> None:
        stage, size = self._stage(), self._batch_size
        self._write(
            lambda session: leases.retry_smaller_or_fail(session, self._claim, message, stage, size)
        )

    def _stage(self) -> Stage:
        return self._recorder.stage or Stage.INTAKE

    def _write(self, change: Callable[[Session], T]) -> T:
        def transaction() -> T:
            with self._shop.sessions.begin() as session:
                return change(session)

        return self._patiently(transaction)

    def _patiently(self, write: Callable[[], T]) -> T:
        return patiently(write, self._lease.is_lost)

    def _log_tail(self, return_code: int | None) -> None:
        """Keep the end of the process's own output for the operator; users never see it."""
        path = self._folder / "log.txt"
        tail = path.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:] if path.exists() else ""
        log.error(
            "job.process_failed", job_id=self._claim.job_id, return_code=return_code, tail=tail
        )

    def _forget_if_over(self) -> None:
        try:
            with reading(self._shop.sessions) as session:
                job = session.get(JobRow, self._claim.job_id)
                is_over = job is None or JobState(job.state).is_final
        except AWAY:
            return  # the hourly collection takes it
        if is_over:
            shutil.rmtree(self._home, ignore_errors=True)


def _how_it_ended(return_code: int | None) -> str:
    """Say how a process ended that sent no last message."""
    if return_code is None or return_code >= 0:
        return f"its process ended with code {return_code}, and did not say why"
    try:
        name = signal.Signals(-return_code).name
    except ValueError:
        name = f"signal {-return_code}"
    return f"its process was ended from outside, or crashed: {name}"


def _cpu_seconds(seconds: float) -> int:
    """Return what every core together can spend in a time limit, and a minute more.

    A worker that lives stops the process long before; this is for one that does not.
    """
    return math.ceil(seconds + 60) * (os.cpu_count() or 1)


def _with_smaller_batches(config: PruneConfig, divisor: int) -> PruneConfig:
    size = max(1, config.retrain.batch_size // divisor)
    retrain = config.retrain.model_copy(update={"batch_size": size})
    return config.model_copy(update={"retrain": retrain})

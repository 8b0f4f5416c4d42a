"""Run one job's process: start it, read its messages, and stop it at its limits.

Handles processes and messages, but neither rows nor objects; `attempt` records the outcome.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import structlog

from app.contracts.settings import OutputSettings
from app.contracts.targets import STARTS_PROGRAM
from app.sandbox.limits import ProcessLimits
from app.sandbox.needs import Needs
from worker.disk_watch import DiskWatch
from worker.fork_server.client import Child, ChildRequest, ForkServer, ForkServerError
from worker.message_reader import MessageReader, MessageRefusedError, NotAMessageError
from worker.messages import Failed, JobRequest, Message, Succeeded
from worker.process_watch import ProcessWatch

log = structlog.get_logger(__name__)

PIPELINE = "worker.pipeline.process"


class Ending(Enum):
    """How a process ended without a last message."""

    NOT_STARTED = "not_started"  # the process was not started
    DIED = "died"  # the pipe closed without a last message
    GARBLED = "garbled"  # it sent something that is not a message
    REFUSED = "refused"  # it sent a message, or more of them, than the limits allow
    INTERRUPTED = "interrupted"  # the listener asked to stop it
    TIME_LIMIT = "time_limit"
    STALLED = "stalled"  # no message for too long
    OUT_OF_MEMORY = "out_of_memory"  # its processes used more memory than the limit
    TOO_MANY_THREADS = "too_many_threads"
    DISK_LIMIT = "disk_limit"  # it wrote more than the limit


@dataclass(frozen=True)
class Limits:
    """Limits of a process, in time and resources."""

    time_limit_seconds: float
    progress_timeout_seconds: float
    grace_seconds: float
    process: ProcessLimits
    outputs: OutputSettings
    disk_bytes: int


@dataclass(frozen=True)
class Listener:
    """Callbacks of a running process.

    Attributes:
        on_start: Called with the process id.
        on_messages: Called about once per poll with new messages, except the last one.
        is_interrupted: Called at every poll; True stops the process.
    """

    on_start: Callable[[int], None]
    on_messages: Callable[[Sequence[Message]], None]
    is_interrupted: Callable[[], bool]


@dataclass(frozen=True)
class Finished:
    """How a process ended.

    Attributes:
        ending: The last message, or why there is none.
        return_code: The process's return code; None if it was not started.
        cause: Why it was not started, what was refused, or the limit that it went over.
    """

    ending: Succeeded | Failed | Ending
    return_code: int | None
    cause: str = ""


def run_process(
    server: ForkServer,
    request: JobRequest,
    folder: Path,
    log_file: Path,
    limits: Limits,
    listener: Listener,
) -> Finished:
    """Run a job's process to its end.

    Args:
        server: Forks the process.
        request: Request of the job; written to ``folder``.
        folder: Private folder of this attempt; also the process's TMPDIR and home.
        log_file: File for the process's output, outside ``folder``, so that the process cannot
            replace it.
        limits: Limits at which the process is stopped.
        listener: Receives the messages.
    """
    path = folder / "request.json"
    path.write_text(request.model_dump_json())
    own = (folder, request.checkpoint_dir, request.cache_dir)
    writable = [path for path in own if path is not None]
    for kept in writable:
        kept.mkdir(parents=True, exist_ok=True)
    reader, writer = os.pipe()
    try:
        needs = Needs(
            gpu=request.device.startswith("cuda"),
            compiler=request.config.retrain.compile == "always",
            converter=bool(STARTS_PROGRAM & set(request.config.export.targets)),
        )
        child = server.start_child(
            ChildRequest(path, folder, log_file, writable, limits.process, needs), writer
        )
    except ForkServerError as error:
        log.exception("job.process_not_started", job_id=request.job_id)
        os.close(reader)
        return Finished(Ending.NOT_STARTED, None, str(error))
    finally:
        os.close(writer)
    # Without any isolation the system is not Linux, or its kernel is too old.
    log_start = log.info if child.isolation else log.warning
    log_start("job.process_started", pid=child.pid, isolation=child.isolation)
    try:
        listener.on_start(child.pid)
        messages = MessageReader(reader, listener.on_messages, limits.outputs)
        has_children = needs.programs or "filter" not in child.isolation
        disk = DiskWatch(child.pid, [*writable, log_file], limits.disk_bytes)
        with ProcessWatch(child.pid, limits.process, has_children=has_children) as watch, disk:
            ending, cause = _follow(messages, limits, listener.is_interrupted)
            if ending is Ending.INTERRUPTED:
                _signal_group(child, signal.SIGTERM)
                _drain(messages, limits.grace_seconds)
            elif not isinstance(ending, Ending) or ending is Ending.DIED:
                child.wait(limits.grace_seconds)  # it is about to exit
        if watch.excess is not None and ending is Ending.DIED:
            kinds = Ending.OUT_OF_MEMORY, Ending.TOO_MANY_THREADS
            ending, cause = kinds[not watch.excess.is_memory], watch.excess.message
        if disk.excess and ending is Ending.DIED:
            ending, cause = Ending.DISK_LIMIT, disk.excess
    finally:
        os.close(reader)
        _stop(child, limits.grace_seconds)
    return Finished(ending, child.wait(None), cause)


def _follow(
    messages: MessageReader, limits: Limits, is_interrupted: Callable[[], bool]
) -> tuple[Succeeded | Failed | Ending, str]:
    """Read messages to the end; return the ending, and what was refused."""
    started = time.monotonic()
    while True:
        now = time.monotonic()
        if is_interrupted():
            return Ending.INTERRUPTED, ""
        if now - started > limits.time_limit_seconds:
            return Ending.TIME_LIMIT, ""
        if now - messages.read_at > limits.progress_timeout_seconds:
            return Ending.STALLED, ""
        last, cause = _read(messages)
        if last is not None:
            return last, cause


def _read(messages: MessageReader) -> tuple[Succeeded | Failed | Ending | None, str]:
    """Wait one poll; return the ending, if there is one, and what was refused."""
    try:
        return messages.read(), ""
    except EOFError:
        return Ending.DIED, ""
    except NotAMessageError:
        return Ending.GARBLED, ""
    except MessageRefusedError as error:
        return Ending.REFUSED, str(error)


def _drain(messages: MessageReader, grace_seconds: float) -> None:
    """Read the last messages of a process that is stopping, such as a just saved epoch."""
    end = time.monotonic() + grace_seconds
    while time.monotonic() < end and _read(messages)[0] is None:
        pass


def _stop(child: Child, grace_seconds: float) -> None:
    """Terminate the process if it still runs, then kill its whole group."""
    if child.wait(0) is None:
        _signal_group(child, signal.SIGTERM)
        child.wait(grace_seconds)
    _signal_group(child, signal.SIGKILL)  # the process and any children it left running
    child.wait(None)


def _signal_group(child: Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)

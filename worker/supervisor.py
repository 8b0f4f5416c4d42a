"""One job's process: started, listened to, and stopped when it has to be.

Knows processes and messages, but neither rows nor objects; `runner` decides what an ending means.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from pydantic import ValidationError

from worker.protocol import MESSAGES, Failed, JobRequest, Message, Succeeded

PIPELINE = (sys.executable, "-m", "worker.pipeline")
MAX_LINE_BYTES = 64 * 1024**2
_POLL_SECONDS = 0.2
_CHUNK_BYTES = 65_536
# What a job's process gets of our environment: no secrets, no settings.
_ENVIRONMENT = (
    "PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "OMP_NUM_THREADS",
)  # fmt: skip


class Ending(Enum):
    """How a process ended, when not by its own last message."""

    DIED = "died"  # without a last message
    GARBLED = "garbled"  # it said something that is not a message
    INTERRUPTED = "interrupted"  # we were told to stop it
    TIME_LIMIT = "time_limit"
    STALLED = "stalled"  # no message for too long


@dataclass(frozen=True)
class Limits:
    """How long, and how large, a process may become."""

    time_limit_seconds: float
    progress_timeout_seconds: float
    grace_seconds: float
    memory_bytes: int | None


@dataclass(frozen=True)
class Finished:
    """How it went.

    Attributes:
        ending: The last message, or why there is none.
        return_code: Of the process.
    """

    ending: Succeeded | Failed | Ending
    return_code: int


def run_process(  # noqa: PLR0913  # everything a process depends on
    request: JobRequest,
    folder: Path,
    limits: Limits,
    on_messages: Callable[[Sequence[Message]], None],
    is_interrupted: Callable[[], bool],
    *,
    argv: Sequence[str] = PIPELINE,
    environment: Mapping[str, str] | None = None,
    on_start: Callable[[int], None] | None = None,
) -> Finished:
    """Run a job's process to its end.

    Args:
        request: What to do; written to ``folder``.
        folder: Private to this attempt; also the process's TMPDIR and home.
        limits: When to stop it.
        on_messages: Called with new messages about once a poll, the last one excluded.
        is_interrupted: Asked at every poll; True stops the process.
        argv: The command.
        environment: Ours, from which a few names are handed on.
        on_start: Called with the process's id.
    """
    path = folder / "request.json"
    path.write_text(request.model_dump_json())
    reader, writer = os.pipe()
    memory = ["--memory", str(limits.memory_bytes)] if limits.memory_bytes is not None else []
    launch = [sys.executable, "-m", "worker.launch", *memory, "--parent", str(os.getpid()), "--"]
    command = [*launch, *argv, "--request", str(path), "--events-fd", str(writer)]
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603  # our own command line
            command,
            env=_environment(environment or {}, folder),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(writer,),
            start_new_session=True,
        )
    os.close(writer)
    try:
        if on_start is not None:
            on_start(process.pid)
        ending = _listen(reader, limits, on_messages, is_interrupted)
        if not isinstance(ending, Ending) or ending is Ending.DIED:
            _wait(process, limits.grace_seconds)  # it is ending by itself
    finally:
        os.close(reader)
        _stop(process, limits.grace_seconds)
    return Finished(ending, process.returncode)


def _listen(  # noqa: PLR0911  # each way to end
    reader: int,
    limits: Limits,
    on_messages: Callable[[Sequence[Message]], None],
    is_interrupted: Callable[[], bool],
) -> Succeeded | Failed | Ending:
    started = heard = time.monotonic()
    buffer = b""
    with selectors.DefaultSelector() as selector:
        selector.register(reader, selectors.EVENT_READ)
        while True:
            now = time.monotonic()
            if is_interrupted():
                return Ending.INTERRUPTED
            if now - started > limits.time_limit_seconds:
                return Ending.TIME_LIMIT
            if now - heard > limits.progress_timeout_seconds:
                return Ending.STALLED
            if not selector.select(_POLL_SECONDS):
                on_messages(())
                continue
            chunk = os.read(reader, _CHUNK_BYTES)
            if not chunk:
                return Ending.DIED
            heard = now
            *lines, buffer = (buffer + chunk).split(b"\n")
            try:
                messages = [MESSAGES.validate_json(line) for line in lines]
            except ValidationError:
                return Ending.GARBLED
            if len(buffer) > MAX_LINE_BYTES:
                return Ending.GARBLED
            last = next((m for m in messages if isinstance(m, (Succeeded, Failed))), None)
            on_messages([m for m in messages if not isinstance(m, (Succeeded, Failed))])
            if last is not None:
                return last


def _stop(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """Let the process end, ask it to, or kill its whole group."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
    _wait(process, grace_seconds)
    _signal_group(process, signal.SIGKILL)  # it, and whatever it left running
    process.wait()


def _wait(process: subprocess.Popen[bytes], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _environment(ours: Mapping[str, str], folder: Path) -> dict[str, str]:
    kept = {name: ours[name] for name in _ENVIRONMENT if name in ours}
    return kept | {"HOME": str(folder), "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"}

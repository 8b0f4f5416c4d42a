"""The worker's side: start the server when it is first needed, ask it for children."""

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from worker.fork_server.limits import ProcessLimits

log = structlog.get_logger(__name__)

_START_SECONDS = 120.0  # of the server: torch from a cold disk
_KILLED = -9  # what is said of a child whose server died: its children die with it
# What the server, and so a job's process, gets of our environment: no secrets, no settings.
_ENVIRONMENT = (
    "PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "OMP_NUM_THREADS",
)  # fmt: skip
_FIXED = {
    "PYTHONUNBUFFERED": "1",
    # Arrow's own allocator takes 1 GiB of the memory limit when it is imported; malloc does not.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # torch's compiler would keep them in a folder of all users, named when it is imported.
    "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",
}


class ForkServerError(Exception):
    """The server could not be started, or ended before it forked."""


@dataclass(frozen=True)
class ChildRequest:
    """What a child is to do, and in what bounds.

    Attributes:
        request: The file that says what to do; the module's ``main`` gets its path.
        home: The child's HOME and TMPDIR.
        log: The file its output goes to.
        writable: The folders that it may write to, and the only ones of the service it may read.
        limits: On what it uses.
    """

    request: Path
    home: Path
    log: Path
    writable: Sequence[Path]
    limits: ProcessLimits


class Child:
    """A process that the server forked; it leads a session and a process group of its own.

    Attributes:
        pid: Its id.
        isolation: What the kernel granted of `isolation`.
    """

    def __init__(self, pid: int, isolation: Sequence[str], status: int) -> None:
        self.pid, self.isolation = pid, tuple(isolation)
        self._status = status
        self._return_code: int | None = None

    def wait(self, seconds: float | None) -> int | None:
        """Return the exit code (negative: the signal), or None if it still runs by then."""
        if self._return_code is None:
            line = _read_line(self._status, seconds)
            if line is not None:
                self._return_code = int(line) if line else _KILLED
                os.close(self._status)
        return self._return_code


class ForkServer:
    """Starts children of one module; restarts its server if that died.

    Args:
        module: Has ``main(request: Path, events: int) -> int``, and may have ``warm_up()``.
        environment: Ours, from which a few names are handed on.
    """

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        self._module = module
        self._environment = {
            name: environment[name] for name in _ENVIRONMENT if name in environment
        }
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def start_child(self, request: ChildRequest, events: int) -> Child:
        """Fork a process that writes to the descriptor ``events``.

        Raises:
            ForkServerError: There is no server to fork it.
        """
        reader, writer = os.pipe()
        log_file = os.open(request.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            with self._lock:  # one at a time: requests are not framed
                self._send(_to_json(request), (writer, log_file, events))
                os.close(writer)
                writer = -1
                line = _read_line(reader, _START_SECONDS)
                if line is None or (self._process is not None and self._process.poll() is not None):
                    self._stop()  # hung, or ended
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(log_file)
            if writer >= 0:
                os.close(writer)
        answer = json.loads(line or "null")
        if not isinstance(answer, dict):  # it ended before it could say that it began
            os.close(reader)
            raise ForkServerError(f"no process could be forked (exit code {answer})")
        return Child(answer["pid"], answer["isolation"], reader)

    def close(self) -> None:
        """End the server, and with it whatever children it has."""
        with self._lock:
            self._stop()

    def _send(self, message: bytes, descriptors: Sequence[int]) -> None:
        for is_last in (False, True):
            if self._socket is None:
                self._start()
            assert self._socket is not None  # noqa: S101  # just made
            try:
                socket.send_fds(self._socket, [message], descriptors)
            except OSError as error:  # it died since the last child
                self._stop()
                if is_last:
                    raise ForkServerError(f"the fork server cannot be reached: {error}") from error
            else:
                return

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        # -P: the folder we were started in, where the service's data may lie, is no part of Python.
        command = [sys.executable, "-P", "-m", "worker.fork_server", "--module", self._module]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own command line
                [*command, "--socket", str(theirs.fileno())],
                env=self._environment | _FIXED,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._socket = ours
        log.info("fork_server.started", pid=self._process.pid, module=self._module)

    def _stop(self) -> None:
        if self._socket is not None:
            self._socket.close()  # its children die with it
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _to_json(request: ChildRequest) -> bytes:
    return json.dumps(
        {
            "request": str(request.request),
            "home": str(request.home),
            "writable": [str(path) for path in request.writable],
            "limits": asdict(request.limits),
        }
    ).encode()


def _read_line(descriptor: int, seconds: float | None) -> bytes | None:
    """Return a line, empty at the end of the stream, or None if none comes in time."""
    end = None if seconds is None else time.monotonic() + seconds
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    line = b""
    while not line.endswith(b"\n"):
        left = None if end is None else max(0.0, end - time.monotonic()) * 1000
        if not poll.poll(left):
            return None
        byte = os.read(descriptor, 1)
        if not byte:
            return b""
        line += byte
    return line

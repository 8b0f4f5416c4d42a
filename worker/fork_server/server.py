"""Handle of the server process in the worker: start it, send requests, stop it."""

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import structlog

from app.sandbox.inherited import inherited

log = structlog.get_logger(__name__)

START_SECONDS = 300.0  # torch from a cold disk, on a machine with other work
_EXIT_SECONDS = 5.0  # between the end of a server and its exit code
_MAX_BYTES = 65_536


class Server:
    """A process that has imported a module and forks on request.

    Args:
        module: Module to import.
        environment: The worker's environment, of which a few variables are passed on.
        is_gpu: Whether the children may compute on a GPU. If so, the server only imports, because
            warming up would initialise CUDA, which does not survive a fork. If not, the server sees
            no GPU.

    Attributes:
        is_new: Whether the server has not forked yet.
    """

    def __init__(self, module: str, environment: Mapping[str, str], *, is_gpu: bool) -> None:
        self._environment = inherited(environment, is_gpu=is_gpu)
        # -P keeps the current folder, which may hold the service's data, out of sys.path.
        self._command = [sys.executable, "-P", "-m", "worker.fork_server", "--module", module]
        self._command += ["--import-only"] if is_gpu else []
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self.is_new = True

    def adopt(self, descriptor: int) -> None:
        """Use a process that runs already; if it ends, `send` starts one of ours."""
        self._socket, self.is_new = socket.socket(fileno=descriptor), False
        self._socket.set_inheritable(False)

    def start(self) -> None:
        """Start the process, unless it runs; it imports the module meanwhile."""
        if self._socket is None:
            self._start()

    def send(self, message: bytes, descriptors: Sequence[int]) -> bool:
        """Send a request, to a new process if necessary; return whether it was accepted."""
        for _ in range(2):
            self.start()
            assert self._socket is not None  # noqa: S101  # just made
            try:
                socket.send_fds(self._socket, [message], descriptors)
            except OSError:  # it died since the last child
                if self.is_new:
                    return False
                self.stop()
            else:
                return True
        return False

    def explain(self) -> str:
        """Return why it did not fork: the first line of its error, or how it ended."""
        assert self._socket is not None  # noqa: S101  # `send` opened it
        said = _last_words(self._socket)
        if said is not None:
            return said
        if self._process is None:
            return "it ended"
        try:
            code = self._process.wait(_EXIT_SECONDS)
        except subprocess.TimeoutExpired:
            return f"it did not answer for {START_SECONDS:g} s"
        if code < 0:
            return f"it was killed by {signal.Signals(-code).name}"
        return f"it exited with code {code}"

    def stop(self) -> None:
        """Stop the process and all of its children."""
        if self._socket is not None:
            self._socket.close()  # its children die with it
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  # our own command line
                [*self._command, "--socket", str(theirs.fileno())],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._socket, self.is_new = ours, True
        log.info("fork_server.started", pid=self._process.pid, command=self._command[4:])


def read_line(descriptor: int, seconds: float | None) -> bytes | None:
    """Return a line, an empty one at the end of the stream, or None after ``seconds``."""
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


def _last_words(connection: socket.socket) -> str | None:
    """Return the error that a server reported before it ended, if any."""
    try:
        data = connection.recv(_MAX_BYTES, socket.MSG_DONTWAIT)
        return str(json.loads(data)["error"])
    except (OSError, ValueError, KeyError):
        return None

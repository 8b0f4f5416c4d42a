"""The server as the worker sees it: a process to start, to send requests to, and to end."""

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

log = structlog.get_logger(__name__)

START_SECONDS = 300.0  # torch from a cold disk, on a machine with other work
_SAY_SECONDS = 5.0  # between the end of a server and its exit code
_MAX_BYTES = 65_536
# What a server, and so a job's process, gets of our environment: no secrets, no settings.
_ENVIRONMENT = (
    "PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "OMP_NUM_THREADS", "OMP_WAIT_POLICY",
)  # fmt: skip
# What it gets where our environment does not say otherwise. OpenMP's threads spin while they wait
# for each other, and hold the cores that other processes need: on two busy cores training was
# six times slower.
_DEFAULTS = {"OMP_WAIT_POLICY": "PASSIVE"}
_FIXED = {
    "PYTHONUNBUFFERED": "1",
    # Arrow's own allocator takes 1 GiB of the memory limit when it is imported; malloc does not.
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    # torch's compiler would keep them in a folder of all users, named when it is imported.
    "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",
}
# A server that warms up asks torch about GPUs, and a driver that has answered does not survive a
# fork. With these two torch says that there is none, without asking the driver.
_NO_GPU = {"CUDA_VISIBLE_DEVICES": "", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}


class Server:
    """A process that has imported a module, and forks on request.

    Args:
        module: What it imports.
        environment: Ours, from which a few names are handed on.
        is_gpu: Whether its children may compute on a GPU. If so it only imports: warming up would
            initialise CUDA, which does not survive a fork. If not it sees no GPU.

    Attributes:
        is_new: Whether it has forked nothing yet.
    """

    def __init__(self, module: str, environment: Mapping[str, str], *, is_gpu: bool) -> None:
        known = {name: environment[name] for name in _ENVIRONMENT if name in environment}
        self._environment = _DEFAULTS | known | _FIXED | ({} if is_gpu else _NO_GPU)
        # -P: the folder we were started in, where the service's data may lie, is no part of Python.
        self._command = [sys.executable, "-P", "-m", "worker.fork_server", "--module", module]
        self._command += ["--import-only"] if is_gpu else []
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self.is_new = True

    def send(self, message: bytes, descriptors: Sequence[int]) -> bool:
        """Send a request, to a new process if need be; return whether it was taken."""
        for _ in range(2):
            if self._socket is None:
                self._start()
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
        """Return why it forked nothing: the first line of its error, or how it ended."""
        assert self._process is not None  # noqa: S101  # something was sent to it
        assert self._socket is not None  # noqa: S101  # likewise
        said = _last_words(self._socket)
        if said is not None:
            return said
        try:
            code = self._process.wait(_SAY_SECONDS)
        except subprocess.TimeoutExpired:
            return f"it did not answer for {START_SECONDS:g} s"
        if code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it ended with code {code}"

    def stop(self) -> None:
        """End the process, and with it whatever children it has."""
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


def _last_words(connection: socket.socket) -> str | None:
    """Return what a server said before it ended, if it did."""
    try:
        data = connection.recv(_MAX_BYTES, socket.MSG_DONTWAIT)
        return str(json.loads(data)["error"])
    except (OSError, ValueError, KeyError):
        return None

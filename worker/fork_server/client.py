"""The worker's side: start the server when it is first needed, ask it for children."""

import json
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from worker.fork_server.limits import ProcessLimits
from worker.fork_server.server import START_SECONDS, Server, read_line

_KILLED = -9  # what is said of a child whose server died: its children die with it
# Between two tries to start a server that cannot be started: others may take the jobs meanwhile.
_REST_SECONDS, _MAX_REST_SECONDS = 5.0, 300.0


class ForkServerError(Exception):
    """The server could not be started, or ended before it forked; the message says why."""


@dataclass(frozen=True)
class ChildRequest:
    """What a child is to do, and in what bounds.

    Attributes:
        request: The file that says what to do; the module's ``main`` gets its path.
        home: The child's HOME and TMPDIR.
        log: The file its output goes to.
        writable: The folders that it may write to, and the only ones of the service it may read.
        limits: On what it uses.
        is_gpu: Whether it computes on a GPU; all others see none.
    """

    request: Path
    home: Path
    log: Path
    writable: Sequence[Path]
    limits: ProcessLimits
    is_gpu: bool = False


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
            line = read_line(self._status, seconds)
            if line is not None:
                self._return_code = int(line) if line else _KILLED
                os.close(self._status)
        return self._return_code


class ForkServer:
    """Starts children of one module; restarts its servers if they died.

    There is a server for children that compute on a GPU, and another for all others: the second
    has loaded everything and sees no GPU. Each is started when it is first needed.

    Args:
        module: Has ``main(request: Path, events: int) -> int``, and may have ``warm_up()``.
        environment: Ours, from which a few names are handed on.
    """

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        self._servers = {
            is_gpu: Server(module, environment, is_gpu=is_gpu) for is_gpu in (False, True)
        }
        self._lock = threading.Lock()
        self._num_failures = 0
        self._rests_until = -math.inf

    def is_resting(self) -> bool:
        """Return whether a server failed to start so recently that another try can wait."""
        return time.monotonic() < self._rests_until

    def start_child(self, request: ChildRequest, events: int) -> Child:
        """Fork a process that writes to the descriptor ``events``.

        Raises:
            ForkServerError: There is no server to fork it; the message says why.
        """
        server = self._servers[request.is_gpu]
        reader, writer = os.pipe()
        log_file = os.open(request.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        cause = ""
        try:
            with self._lock:  # one at a time: requests are not framed
                line: bytes | None = b""
                if server.send(_to_json(request), (writer, log_file, events)):
                    os.close(writer)
                    writer = -1
                    line = read_line(reader, START_SECONDS)
                answer = json.loads(line or b"null")
                if answer is None:
                    cause = self._give_up(server)
                else:
                    server.is_new, self._num_failures = False, 0
        except BaseException:
            os.close(reader)
            raise
        finally:
            os.close(log_file)
            if writer >= 0:
                os.close(writer)
        if isinstance(answer, dict) and "error" in answer:
            cause = answer["error"]
        elif isinstance(answer, int):  # it ended before it could say that it began
            cause = f"its process ended at once, with code {answer}"
        if cause:
            os.close(reader)
            raise ForkServerError(cause)
        return Child(answer["pid"], answer["isolation"], reader)

    def close(self) -> None:
        """End the servers, and with them whatever children they have."""
        with self._lock:
            for server in self._servers.values():
                server.stop()

    def _give_up(self, server: Server) -> str:
        """End a server that forked nothing, rest if it never did, and return why."""
        cause = server.explain()
        if server.is_new:
            rest = min(_MAX_REST_SECONDS, _REST_SECONDS * 2**self._num_failures)
            self._num_failures += 1
            self._rests_until = time.monotonic() + rest
        server.stop()
        return cause


def _to_json(request: ChildRequest) -> bytes:
    return json.dumps(
        {
            "request": str(request.request),
            "home": str(request.home),
            "writable": [str(path) for path in request.writable],
            "limits": asdict(request.limits),
            "is_gpu": request.is_gpu,
        }
    ).encode()

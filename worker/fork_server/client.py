"""The worker's side of the fork server: start it and request children."""

import json
import math
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from app.sandbox.inherited import SERVER_SOCKET
from app.sandbox.limits import ProcessLimits
from app.sandbox.needs import Needs
from worker.fork_server.server import START_SECONDS, Server, read_line

_KILLED = -9  # return code of a child whose server died: children die with their server
# Pause between attempts to start a failing server, so that other workers can take the jobs.
_REST_SECONDS, _MAX_REST_SECONDS = 5.0, 300.0


class ForkServerError(Exception):
    """The server could not start, or ended before it forked; the message gives the cause."""


@dataclass(frozen=True)
class ChildRequest:
    """Request to fork one child.

    Attributes:
        request: Request file; the module's ``main`` receives its path.
        home: The child's HOME and TMPDIR.
        log: File for the child's output.
        writable: Folders the child may write to, and the only folders of the service it may read.
        limits: Resource limits.
        needs: What the child needs; only one that needs a GPU sees one.
    """

    request: Path
    home: Path
    log: Path
    writable: Sequence[Path]
    limits: ProcessLimits
    needs: Needs = field(default_factory=Needs)


class Child:
    """A forked process; it leads its own session and process group.

    Attributes:
        pid: Process id.
        isolation: The rungs of `isolation` that the kernel granted.
    """

    def __init__(self, pid: int, isolation: Sequence[str], status: int) -> None:
        self.pid, self.isolation = pid, tuple(isolation)
        self._status = status
        self._return_code: int | None = None

    def wait(self, seconds: float | None) -> int | None:
        """Return the exit code (negative: the signal), or None if the process still runs."""
        if self._return_code is None:
            line = read_line(self._status, seconds)
            if line is not None:
                self._return_code = int(line) if line else _KILLED
                os.close(self._status)
        return self._return_code


class ForkServer:
    """Starts children that run one module, and restarts servers that died.

    One server forks the children that compute on a GPU, another forks all others. The second warms
    up completely and sees no GPU. Each starts on first use, unless `start` was called before.

    Args:
        module: Has ``main(request: Path, events: int) -> int``, and may have ``warm_up()``.
        environment: The worker's environment, of which a few variables are passed on.
        hidden: Folders that children may not read, wherever they lie, but for those of the request.

    `secateur serve` forks servers without a GPU itself, from one process for all of its workers,
    and names the socket of one in the environment (`SERVER_SOCKET`).
    """

    def __init__(
        self, module: str, environment: Mapping[str, str], hidden: Sequence[Path] = ()
    ) -> None:
        self._hidden = tuple(hidden)
        self._servers = {
            is_gpu: Server(module, environment, is_gpu=is_gpu) for is_gpu in (False, True)
        }
        if SERVER_SOCKET in environment:
            self._servers[False].adopt(int(environment[SERVER_SOCKET]))
        self._lock = threading.Lock()
        self._num_failures = 0
        self._rests_until = -math.inf

    def is_resting(self) -> bool:
        """Return whether a server failed to start recently and the next attempt must wait."""
        return time.monotonic() < self._rests_until

    def start(self, *, gpu: bool) -> None:
        """Start a server ahead of its first child, and do not wait for its imports."""
        with self._lock:
            self._servers[gpu].start()

    def start_child(self, request: ChildRequest, events: int) -> Child:
        """Fork a process that writes to the descriptor ``events``.

        Raises:
            ForkServerError: No server could fork it; the message gives the cause.
        """
        server = self._servers[request.needs.gpu]
        reader, writer = os.pipe()
        log_file = os.open(request.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        cause = ""
        try:
            with self._lock:  # one at a time: requests are not framed
                line: bytes | None = b""
                if server.send(_to_json(request, self._hidden), (writer, log_file, events)):
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
        elif isinstance(answer, int):  # it exited before it reported its start
            cause = f"its process exited at once with code {answer}"
        if cause:
            os.close(reader)
            raise ForkServerError(cause)
        return Child(answer["pid"], answer["isolation"], reader)

    def close(self) -> None:
        """Stop the servers and all of their children."""
        with self._lock:
            for server in self._servers.values():
                server.stop()

    def _give_up(self, server: Server) -> str:
        """Stop a server that failed to fork and return the cause; pause if it never forked."""
        cause = server.explain()
        if server.is_new:
            rest = min(_MAX_REST_SECONDS, _REST_SECONDS * 2**self._num_failures)
            self._num_failures += 1
            self._rests_until = time.monotonic() + rest
        server.stop()
        return cause


def _to_json(request: ChildRequest, hidden: Sequence[Path]) -> bytes:
    return json.dumps(
        {
            "request": str(request.request),
            "home": str(request.home),
            "writable": [str(path) for path in request.writable],
            "limits": asdict(request.limits),
            "hidden": [str(path) for path in hidden],
            "needs": asdict(request.needs),
        }
    ).encode()

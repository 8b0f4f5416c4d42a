"""One serving process: start it, exchange frames with it, look at it, kill it."""

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from app.contracts.settings import Settings
from app.inference.connection import Connection
from app.sandbox.machine import memory_bytes
from app.serving.crash import Use, crashed_call, uses_of
from app.serving.description import Arrays
from app.serving.frames import Frame, pack

Lane = Literal["runs", "help", "control"]

_LANES: tuple[Lane, ...] = ("runs", "help", "control")
_ROOT = Path(__file__).parents[2]
_SOCKET_BYTES = 1024**2  # the kernel may grant less; more copies at once, fewer wake-ups
_SLACK_BYTES = 1024**2  # of a frame around its arrays
# Variables that the process inherits: no secrets, no settings.
_ENVIRONMENT = (
    "PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV",
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "OMP_NUM_THREADS", "OMP_WAIT_POLICY",
)  # fmt: skip
_MEMORY_SHARE = 2  # without a setting: half of the machine's memory

OnAnswer = Callable[[Frame | None], None]


def memory_limit(settings: Settings) -> int:
    """Return the memory that the serving process may use."""
    return settings.inference.memory_bytes or memory_bytes() // _MEMORY_SHARE


class ServingProcess:
    """A started process. Used on the event loop.

    Args:
        settings: The service's settings.
        on_ready: Called when the process has imported everything.
        on_end: Called once, when the process has ended or broken the protocol.

    Attributes:
        pid: Process id.
        isolation: Rungs of the sandbox that the kernel granted; empty until the process is ready.
    """

    def __init__(
        self,
        settings: Settings,
        on_ready: Callable[[], None],
        on_end: Callable[["ServingProcess"], None],
    ) -> None:
        self._on_ready, self._on_end = on_ready, on_end
        self._numbers = itertools.count(1)
        self._pending: dict[int, OnAnswer] = {}
        self._has_ended = False
        self.isolation: tuple[str, ...] = ()
        inference = settings.inference
        self._most_body_bytes = max(inference.answer_bytes, inference.image_bytes) + _SLACK_BYTES
        self._home = tempfile.mkdtemp(prefix="serving-", dir=_make(settings.scratch_dir))
        self._crash = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `close`
        pairs = [socket.socketpair() for _ in _LANES]
        self._sockets = dict(zip(_LANES, (ours for ours, _ in pairs), strict=True))
        theirs = [there for _, there in pairs]
        for one in (*self._sockets.values(), *theirs):
            for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                one.setsockopt(socket.SOL_SOCKET, option, _SOCKET_BYTES)
        numbers = [there.fileno() for there in theirs]
        options = {
            "parent": os.getpid(),
            "data_dir": str(settings.data_dir.absolute()),
            "sockets": numbers,
            "crash": self._crash.fileno(),
            "memory_bytes": memory_limit(settings),
            "inference": inference.model_dump(mode="json"),
            "limits": settings.limits.model_dump(mode="json"),
        }
        # -P keeps the current folder out of sys.path.
        command = [sys.executable, "-P", "-m", "app.serving", json.dumps(options)]
        self._process = subprocess.Popen(  # noqa: S603  # our own command line
            command,
            env=_clean_environment(),
            cwd=self._home,
            stdin=subprocess.DEVNULL,
            pass_fds=(*numbers, self._crash.fileno()),
            start_new_session=True,
        )
        self.pid = self._process.pid
        for there in theirs:
            there.close()
        self._connections: dict[Lane, Connection] = {}

    async def connect(self) -> None:
        """Attach the sockets to the event loop."""
        loop = asyncio.get_running_loop()
        for lane, ours in self._sockets.items():
            ours.setblocking(False)  # noqa: FBT003  # the only spelling
            connection = Connection(self._most_body_bytes, self._take, self._end)
            self._connections[lane] = connection
            await loop.create_unix_connection(lambda found=connection: found, sock=ours)  # type: ignore[misc]

    def call(
        self,
        lane: Lane,
        head: dict[str, Any],
        on_answer: OnAnswer,
        parts: Sequence[Arrays] = (),
    ) -> int:
        """Send a frame; return the call's number. The answer is None if the process ended."""
        number = next(self._numbers)
        self._pending[number] = on_answer
        self._connections[lane].send(pack(number, head, parts))
        return number

    def cpu_seconds(self) -> float | None:
        """Return the CPU time that the process has used; None where it cannot be read."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def is_runnable(self) -> bool:
        """Return whether a thread could run: it is starved on a busy machine, and not frozen."""
        try:
            threads = list(Path(f"/proc/{self.pid}/task").iterdir())
            stats = [(thread / "stat").read_text() for thread in threads]
        except OSError:
            return False
        return any(stat.rpartition(")")[2].split()[0] == "R" for stat in stats)

    def memory_bytes(self) -> int:
        """Return the memory that the process uses; 0 where it cannot be read."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def uses(self) -> dict[int, Use]:
        """Return what each call's thread has used since the call began, by number."""
        return uses_of(self._crash.fileno(), self.pid)

    def kill(self) -> None:
        """Kill the process; calls that wait are answered with None."""
        self._process.kill()
        self._end()

    def ending(self) -> tuple[int, int | None]:
        """Return the exit code (negative: the signal), and the call that crashed it, if known."""
        return self._process.wait(), crashed_call(self._crash.fileno())

    def close(self) -> None:
        """Kill the process, and release what belongs to it."""
        self._process.kill()
        self._process.wait()
        for connection in self._connections.values():
            connection.close()
        self._crash.close()
        Path(self._home).rmdir()

    def _take(self, frame: Frame) -> None:
        if frame.number == 0:
            self.isolation = tuple(frame.head["isolation"])
            self._on_ready()
            return
        on_answer = self._pending.pop(frame.number, None)
        if on_answer is not None:
            on_answer(frame)

    def _end(self) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        self._process.kill()  # it may only have closed a socket
        self._on_end(self)
        pending, self._pending = self._pending, {}
        for on_answer in pending.values():
            on_answer(None)


def _make(folder: Path) -> Path:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _clean_environment() -> dict[str, str]:
    names = os.environ  # noqa: TID251  # handed on
    known = {name: names[name] for name in _ENVIRONMENT if name in names}
    return known | {
        "PYTHONPATH": str(_ROOT),
        "PYTHONUNBUFFERED": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }

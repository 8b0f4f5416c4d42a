"""Child processes of ``secateur serve``: start, watch, restart and stop them.

Each child dies with its parent (``PR_SET_PDEATHSIG``), so even ``kill -9`` of the command leaves
nothing running. Each child writes to its own log file.
"""

import ctypes
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MAX_QUICK_DEATHS = 5
QUICK_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1


class ChildError(Exception):
    """A child keeps dying; the message ends with the tail of its log."""


@dataclass(frozen=True)
class Command:
    """Command line and environment of a child.

    Attributes:
        name: Name of the child and of its log file.
        argv: Program and arguments.
        environment: Complete environment.
        pass_fds: File descriptors that the child inherits.
        stop_seconds: Time to stop after SIGTERM before the child is killed.
    """

    name: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    pass_fds: tuple[int, ...] = ()
    stop_seconds: float = 20.0


class Child:
    """Supervised child process."""

    def __init__(self, command: Command, log_dir: Path) -> None:
        self.command = command
        self.log_path = log_dir / f"{command.name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._num_quick_deaths = 0

    def start(self) -> None:
        """Start the process and append its output to the log."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  # our own command lines
                list(self.command.argv),
                env=dict(self.command.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=self.command.pass_fds,
                start_new_session=True,  # only the parent receives Ctrl-C; it stops us in order
                preexec_fn=_die_with_parent,  # noqa: PLW1509  # no threads here yet
            )
        self._started_at = time.monotonic()

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self._process.pid if self._process is not None else None

    def ensure_running(self) -> bool:
        """Restart the process if it died. Return whether it was restarted.

        Raises:
            ChildError: It died `MAX_QUICK_DEATHS` times in a row, each within `QUICK_SECONDS`
                of its start.
        """
        if self._process is None or self._process.poll() is None:
            return False
        is_quick = time.monotonic() - self._started_at < QUICK_SECONDS
        self._num_quick_deaths = self._num_quick_deaths + 1 if is_quick else 0
        if self._num_quick_deaths >= MAX_QUICK_DEATHS:
            where = f"{self.command.name} keeps dying; see {self.log_path}"
            raise ChildError(where + "\n" + self.tail())
        self.start()
        return True

    def stop(self) -> None:
        """Send SIGTERM, wait ``stop_seconds``, then kill the process if it still runs."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(self.command.stop_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def tail(self, num_lines: int = 15) -> str:
        """Return the last lines of the log."""
        lines = self.log_path.read_text(errors="replace").splitlines()
        return "\n".join(lines[-num_lines:])


def wait_until(is_true: Callable[[], bool], seconds: float, children: Sequence[Child]) -> bool:
    """Poll ``is_true`` while keeping ``children`` running. Return False after ``seconds``.

    Raises:
        ChildError: A child keeps dying.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_true():
            return True
        for child in children:
            child.ensure_running()
        time.sleep(0.1)
    return False


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

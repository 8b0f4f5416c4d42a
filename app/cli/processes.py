"""Child processes of ``secateur serve``: start, watch, restart and stop them.

Each child dies with its parent (``PR_SET_PDEATHSIG``), so even ``kill -9`` of the command leaves
nothing running. Each child writes to its own log file.
"""

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.cli.forked import Forked, die_with

MAX_QUICK_DEATHS = 5
QUICK_SECONDS = 10.0
# -P: never import a package `app` or `worker` from the current directory.
PYTHON = (sys.executable, "-P", "-m")


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

    @property
    def module_argv(self) -> Sequence[str] | None:
        """The module and its arguments if this process forks the program; None: it is executed."""
        if sys.platform != "linux" or tuple(self.argv[:3]) != PYTHON:
            return None  # macOS's own libraries do not survive a fork
        return self.argv[3:]


class Child:
    """Supervised child process."""

    def __init__(self, command: Command, log_dir: Path) -> None:
        self.command = command
        self.log_path = log_dir / f"{command.name}.log"
        self._process: subprocess.Popen[bytes] | Forked | None = None
        self._started_at = 0.0
        self._num_quick_deaths = 0

    def start(self) -> None:
        """Start the process and append its output to the log."""
        command = self.command
        with self.log_path.open("ab") as log:
            if command.module_argv is None:
                self._process = subprocess.Popen(  # noqa: S603  # our own command lines
                    list(command.argv),
                    env=dict(command.environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=command.pass_fds,
                    start_new_session=True,  # only the parent receives Ctrl-C; it stops us in order
                    preexec_fn=functools.partial(die_with, os.getpid()),  # noqa: PLW1509  # no threads
                )
            else:
                self._process = Forked(
                    command.name, command.module_argv, command.environment, log, command.pass_fds
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

    def ask_to_stop(self) -> None:
        """Send SIGTERM, once: a second one would end a worker without its order."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    def wait_stopped(self) -> None:
        """Wait ``stop_seconds``, then kill the process if it still runs."""
        if self._process is None:
            return
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


def stop(children: Sequence[Child]) -> None:
    """Stop all of them at once."""
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.wait_stopped()

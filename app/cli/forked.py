"""Fork Python programs from ``secateur serve``, which has imported their modules.

Five programs of the service import mostly the same modules. Each took one to two seconds of CPU to
import them, and half a second to take them apart at its end.
"""

import contextlib
import ctypes
import gc
import importlib
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from typing import BinaryIO, NoReturn

# By name: the command line may import neither the worker nor the server. Torch is not among them.
_MODULES = (
    "app.main",
    "app.server.server",
    "worker.composition",
    "worker.scheduler",
    "celery.apps.beat",
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.thread",
    "celery.worker.consumer",
    "kombu.transport.redis",
)
_OURS = (signal.SIGINT, signal.SIGTERM)
_MAX_NAME_BYTES = 15
_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_POLL_SECONDS = 0.02


def import_modules() -> None:
    """Import what the service's programs import, before the first of them is forked."""
    gc.disable()  # modules stay: looking through them takes a quarter of their import's time
    for name in _MODULES:
        # A program whose module is broken says so in its own log.
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    gc.freeze()  # otherwise the first collection in each program would copy all of these pages
    gc.enable()


class Forked:
    """A running program; its methods are those of `subprocess.Popen`.

    Args:
        name: Name of the process, for ``ps`` and ``top``.
        argv: The module to run and its arguments, as after ``python -m``.
        environment: The program's whole environment.
        log: File for its output.
        pass_fds: File descriptors that it keeps. It closes all others.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environment: Mapping[str, str],
        log: BinaryIO,
        pass_fds: Sequence[int],
    ) -> None:
        self._code: int | None = None
        # A signal in between must not run our handlers in the new process.
        signal.pthread_sigmask(signal.SIG_BLOCK, _OURS)
        try:
            parent, self.pid = os.getpid(), os.fork()
            if self.pid == 0:
                _become(name, argv, environment, (log.fileno(), *pass_fds), parent)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None while the program runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the program has ended and return its exit code.

        Raises:
            subprocess.TimeoutExpired: It has not ended after ``timeout`` seconds.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if end is not None and time.monotonic() > end:
                raise subprocess.TimeoutExpired("a forked program", timeout or 0.0)
            time.sleep(_POLL_SECONDS)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the program has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the program, unless it has ended."""
        self.send_signal(signal.SIGKILL)


def die_with(parent: int) -> None:
    """Have this process get SIGTERM when its parent dies, whatever kills that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before the call above
            os._exit(1)


def _become(
    name: str,
    argv: Sequence[str],
    environment: Mapping[str, str],
    descriptors: tuple[int, ...],
    parent: int,
) -> NoReturn:
    """Run as the new process; never return to the code of `secateur serve`."""
    code = 1
    try:
        os.setsid()  # only the parent gets Ctrl-C; it stops us in order
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _OURS)
        die_with(parent)
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_NAME, f"secateur-{name}".encode()[:_MAX_NAME_BYTES])
        _open_only(descriptors)
        os.environ.clear()  # noqa: TID251  # written, not read
        os.environ.update(environment)  # noqa: TID251  # likewise
        sys.argv = list(argv)
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ending:
        if isinstance(ending.code, str):
            sys.stderr.write(f"{ending.code}\n")
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    except BaseException:  # noqa: BLE001  # the last frame of this process
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)  # without taking the modules apart


def _open_only(descriptors: tuple[int, ...]) -> None:
    """Make the first one the output, and close all but the others."""
    log, *kept = descriptors
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    for number in (1, 2):
        os.dup2(log, number)
    # What was written to the parent's files and not yet flushed stays the parent's.
    sys.stdout = open(1, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, encoding="utf-8", closefd=False)  # noqa: SIM115
    start = 3
    for number in (*sorted(kept), os.sysconf("SC_OPEN_MAX")):
        os.closerange(start, number)
        start = number + 1

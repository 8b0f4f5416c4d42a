"""``python -m worker.fork_server --module MODULE --socket FD …``: import, then fork on request.

The server has one thread and computes nothing: a fork copies only one thread, and neither CUDA nor
an OpenMP pool survives it. If the import fails, the server reports the cause and exits. It lives
until its worker closes the other end of the socket, and its children die with it. Given several
sockets, the process forks a server for each: `secateur serve` starts one process for all workers.

A child leads a process group that no process can leave (`syscalls` has neither setsid nor setpgid).
When the child ends, one signal to the group ends what it started, and the server reaps it.
"""

import argparse
import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
import tempfile
import traceback
from collections.abc import Container
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from app.contracts.installation import broken_modules
from app.sandbox.isolation import isolate
from app.sandbox.limits import ProcessLimits, apply_limits
from app.sandbox.needs import Needs
from worker.fork_server.cause import cause_of

_MAX_BYTES = 65_536
_NUM_DESCRIPTORS = 3  # status, log, events
_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36
_NAME = b"secateur-job"
# Variables that name writable folders. torch's compilers have read theirs before the fork.
_OWN_FOLDERS = ("HOME", "TMPDIR", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")


def main() -> None:
    """Serve requests until the worker is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--module", required=True)
    parser.add_argument("--socket", type=int, nargs="+", required=True)
    parser.add_argument("--report", type=int, help="write the modules of --check that are broken")
    parser.add_argument("--check", nargs="*", default=[], help="modules that jobs may import")
    parser.add_argument("--import-only", action="store_true", help="do not warm the module up")
    options = parser.parse_args()
    first, *others = options.socket
    gc.disable()  # modules stay: looking through them took a quarter of their import's time
    with socket.socket(fileno=first) as requests:
        try:
            module = importlib.import_module(options.module)
            if hasattr(module, "warm_up") and not options.import_only:
                module.warm_up()
        except BaseException as error:
            with contextlib.suppress(OSError):  # the worker is gone
                requests.send(json.dumps({"error": cause_of(error)}).encode())
            raise
        gc.freeze()  # otherwise the first collection in each child would copy all of these pages
        gc.enable()
        if options.report is not None:
            _report(options.report, options.check, options.socket)
        served = _own_socket(requests, others)
        with served:
            _Server(module, served).serve()


def _report(descriptor: int, names: list[str], sockets: list[int]) -> None:
    """Import modules in a child, which jobs do when they need one, and write which are broken."""
    if os.fork():
        os.close(descriptor)
        return
    code = 1
    try:
        for number in sockets:
            os.close(number)
        os.write(descriptor, json.dumps(list(broken_modules(names))).encode())
        code = 0
    finally:
        os._exit(code)


def _own_socket(first: socket.socket, others: list[int]) -> socket.socket:
    """Fork a process for each other socket; return the one that this process serves."""
    for number in others:
        if os.fork() == 0:
            os.setsid()
            first.close()
            for other in others:
                if other != number:
                    os.close(other)
            return socket.socket(fileno=number)
    for number in others:
        os.close(number)
    return first


class _Server:
    def __init__(self, module: ModuleType, requests: socket.socket) -> None:
        self._module, self._requests = module, requests
        self._statuses: dict[int, int] = {}  # status pipe by pid of each living child
        self._woken, wakener = os.pipe()
        for descriptor in (self._woken, wakener):
            os.set_blocking(descriptor, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakener, warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the group; the worker decides
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def serve(self) -> None:
        poll = select.poll()
        poll.register(self._requests, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._woken in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._woken, _MAX_BYTES)
                self._reap()
            if self._requests.fileno() in ready:
                message, descriptors, _, _ = socket.recv_fds(
                    self._requests, _MAX_BYTES, _NUM_DESCRIPTORS
                )
                if not message:
                    break
                self._fork(json.loads(message), *descriptors)
        for pid in self._statuses:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def _fork(self, request: dict[str, Any], status: int, log: int, events: int) -> None:
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:  # no more processes or memory: this child fails, the others live
            traceback.print_exc()
            os.write(status, json.dumps({"error": cause_of(error)}).encode() + b"\n")
            for descriptor in (status, log, events):
                os.close(descriptor)
            return
        if pid == 0:
            others = [self._requests.detach(), self._woken, *self._statuses.values()]
            _become(self._module, request, server, others, (status, log, events))
        self._statuses[pid] = status
        os.close(log)
        os.close(events)

    def _reap(self) -> None:
        while (ended := _next_ended(self._statuses)) is not None:
            pid, code = ended
            status = self._statuses.pop(pid, None)
            if status is None:  # a child's child
                continue
            with contextlib.suppress(BrokenPipeError):  # the worker no longer waits for it
                os.write(status, b"%d\n" % os.waitstatus_to_exitcode(code))
            os.close(status)


def _next_ended(leaders: Container[int]) -> tuple[int, int] | None:
    """Reap a process that has ended, if there is one, and return its id and wait status.

    A child takes its group with it. It is reaped last: until then no other process gets its id.
    """
    pid, options = -1, os.WNOHANG
    try:
        if sys.platform == "linux":
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None:
                return None
            pid, options = found.si_pid, 0
            if pid in leaders:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
        pid, code = os.waitpid(pid, options)
    except ChildProcessError:  # there are none
        return None
    return (pid, code) if pid else None


def _become(
    module: ModuleType,
    request: dict[str, Any],
    server: int,
    others: list[int],
    descriptors: tuple[int, int, int],
) -> NoReturn:
    """Run as the child; never return to the server's loop."""
    status, log, events = descriptors
    code = 1
    try:
        wakener = signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.setsid()
        libc = ctypes.CDLL(None)
        if sys.platform == "linux":
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            libc.prctl(_PR_SET_NAME, _NAME)
            if os.getppid() != server:  # the server died before the call above
                os._exit(1)
        for descriptor in (*others, wakener):
            os.close(descriptor)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        home = request["home"]
        own = dict.fromkeys(_OWN_FOLDERS, home)
        os.environ.update(own)  # noqa: TID251  # written, not read
        tempfile.tempdir = None  # the server may have cached its own
        with contextlib.suppress(OSError):  # if memory runs out, this process goes first
            Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
        writable = [Path(path) for path in request["writable"]]
        hidden = [Path(path) for path in request["hidden"]]
        granted = isolate(writable, Needs(**request["needs"]), hidden)
        has_own_users = "network" in granted and os.geteuid() != 0
        apply_limits(ProcessLimits(**request["limits"]), has_own_users=has_own_users)
        answer = {"pid": os.getpid(), "isolation": granted}
        os.write(status, json.dumps(answer).encode() + b"\n")
        os.close(status)
        code = module.main(Path(request["request"]), events)
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 1
    except BaseException:  # noqa: BLE001  # the last frame of this process
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()

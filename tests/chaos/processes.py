"""The processes of a running `secateur serve`, found by walking /proc from its id."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
JOB_NAME = "secateur-job"  # which the fork server's children take
_GONE_SECONDS = 30


@dataclass(frozen=True)
class Process:
    """One process as /proc shows it."""

    pid: int
    name: str
    parent: int
    state: str  # of `man 5 proc`: R, S, D, T stopped, Z dead and not collected
    argv: tuple[str, ...]

    @property
    def is_alive(self) -> bool:
        return self.state not in {"Z", "X"}


Match = Callable[[Process], bool]

# What the commands of `app.cli.serve` look like from outside.
PARTS: dict[str, Match] = {
    "worker": lambda p: p.name == "secateur-worker",
    "scheduler": lambda p: p.name == "secateur-schedu",  # the kernel cuts names
    "api": lambda p: p.name == "secateur-api",
    "redis": lambda p: "redis-server" in p.argv[0],
}


def read_process(pid: int) -> Process | None:
    """Return a process, or None if it is gone."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
        argv = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    start, _, end = stat.rpartition(")")  # the name may hold spaces and brackets
    state, parent = end.split()[:2]
    return Process(
        pid, start.partition("(")[2], int(parent), state, tuple(argv.rstrip("\0").split("\0"))
    )


def descendants(pid: int) -> list[Process]:
    """Return every living process below ``pid``, parents first."""
    numbers = [int(path.name) for path in PROC.iterdir() if path.name.isdigit()]
    found = [process for number in numbers if (process := read_process(number)) is not None]
    below, layer = [], {pid}
    while layer:
        children = [p for p in found if p.parent in layer and p.is_alive]
        below += children
        layer = {p.pid for p in children}
    return below


def find_part(serve_pid: int, name: str) -> Process | None:
    """Return the process of a part of the service; ``job`` is the process of the running job."""
    if name == "job":
        worker = find_part(serve_pid, "worker")
        return None if worker is None else _find_job_of(serve_pid, worker.pid)
    return next((p for p in descendants(serve_pid) if PARTS[name](p)), None)


def _find_job_of(serve_pid: int, worker_pid: int) -> Process | None:
    """Return the job's process: `serve` or the worker started the server that forked it."""
    below = descendants(serve_pid)
    servers = {p.pid for p in below if p.parent in {serve_pid, worker_pid}}
    return next((p for p in below if p.name == JOB_NAME and p.parent in servers), None)


def find_job(worker_pid: int) -> Process | None:
    """Return the job's process below a worker."""
    return next((p for p in descendants(worker_pid) if p.name == JOB_NAME), None)


def kill_tree(pid: int) -> None:
    """SIGKILL a process and its descendants, parents first, so that none is restarted."""
    below = descendants(pid)
    for number in [pid, *(p.pid for p in below)]:
        send(number, signal.SIGKILL)
    wait_gone([p.pid for p in below])


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def wait_gone(pids: list[int]) -> None:
    """Wait until none of the processes lives."""
    end = time.monotonic() + _GONE_SECONDS
    while any((p := read_process(pid)) is not None and p.is_alive for pid in pids):
        assert time.monotonic() < end, f"still alive: {pids}"
        time.sleep(0.02)

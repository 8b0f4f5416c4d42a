"""Clean up processes and folders that a killed worker left on this machine.

A job's process dies with its worker (`worker.fork_server`), except where the kernel cannot
guarantee it. Each attempt's folder records the worker and the process by id and start time, because
the kernel reuses ids.
"""

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

_FILE = "processes.json"
_START_TIME_FIELD = 19  # of /proc/PID/stat after the command's closing bracket (man 5 proc, 22)


def note_processes(folder: Path, child: int) -> None:
    """Record the owners of ``folder``: this process and its child."""
    found = {"worker": _identity(os.getpid()), "child": _identity(child)}
    (folder / _FILE).write_text(json.dumps(found))


def clean_orphans(scratch: Path) -> int:
    """Kill the processes of dead workers and remove their attempts' folders; return how many."""
    removed = 0
    for folder in sorted(scratch.glob("jobs/*/attempt-*")):
        try:
            noted = json.loads((folder / _FILE).read_text())
        except (OSError, ValueError):
            continue  # just created, or from an old version: left to the hourly collection
        if _is_alive(noted["worker"]):
            continue
        if _is_alive(noted["child"]):
            pid = noted["child"][0]
            log.warning("orphan.killed", pid=pid, folder=str(folder))
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
        removed += 1
    return removed


def _identity(pid: int) -> tuple[int, str]:
    return pid, _started_at(pid)


def _is_alive(identity: tuple[int, str]) -> bool:
    pid, started_at = identity
    return bool(started_at) and _started_at(pid) == started_at


def _started_at(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; empty if it is not running."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[_START_TIME_FIELD]

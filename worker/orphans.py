"""Clean up processes and folders that a killed worker left on this machine.

A job's process dies with its worker (`worker.fork_server`), except where the kernel cannot
guarantee it. Each attempt's folder records the worker and the process by id and start time, because
the kernel reuses ids. The record lies beside the folder that the process can write: a process that
could write it would choose what is killed.

If worker and fork server were killed at once, what the process started may have outlived it. It is
still in its group, whose number the kernel gives to nobody else meanwhile.
"""

import contextlib
import os
import signal
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.objects.removal import remove_folder
from app.objects.untrusted import UntrustedFileError, UntrustedFolder
from worker.process_watch import has_confined

log = structlog.get_logger(__name__)

_FILE = "processes.json"
_MOST_BYTES = 4096
_START_TIME_FIELD = 19  # of /proc/PID/stat after the command's closing bracket (man 5 proc, 22)

# Process 1 is the system's first process, and `killpg` takes 0 for our own group.
_Identity = tuple[Annotated[int, Field(gt=1)], Annotated[str, Field(pattern="^[0-9]*$")]]


class _Owners(BaseModel):
    """Owners of an attempt's folder: id and start time of each."""

    model_config = ConfigDict(extra="forbid", strict=True)

    worker: _Identity
    child: _Identity


def note_processes(folder: Path, child: int) -> None:
    """Record the owners of ``folder``: this process and its child."""
    owners = _Owners(worker=_identity(os.getpid()), child=_identity(child))
    (folder / _FILE).write_text(owners.model_dump_json())


def clean_orphans(scratch: Path) -> int:
    """Kill the processes of dead workers and remove their attempts' folders; return how many."""
    removed = 0
    for folder in sorted(scratch.glob("jobs/*/attempt-*")):
        owners = _read(folder)
        if owners is None or _is_alive(owners.worker):
            continue
        pid = owners.child[0]
        if _is_alive(owners.child) or (not _started_at(pid) and has_confined(pid)):
            log.warning("orphan.killed", pid=pid, folder=str(folder))
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        remove_folder(folder)
        removed += 1
    return removed


def _read(folder: Path) -> _Owners | None:
    """Return the owners of a folder; None if they are unknown.

    It was just created, or by an old version: it is left to the hourly collection.
    """
    try:
        with UntrustedFolder(folder) as opened, opened.open(_FILE, _MOST_BYTES) as file:
            return _Owners.model_validate_json(b"".join(file.chunks()))
    except (OSError, UntrustedFileError):
        return None
    except ValidationError:
        log.warning("orphan.unreadable", folder=str(folder))
        return None


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

"""Resource limits of a job's process. The process sets them on itself and cannot raise them again.

The memory limit applies to private writable memory (``RLIMIT_DATA``, which since Linux 4.7 counts
anonymous mappings as well as the heap), not to address space. torch with CUDA maps 3 GiB of
libraries before it computes anything, and CUDA reserves as much address space as the machine and
all GPUs have memory; a job uses neither. Importing torch 2.14 takes 0.75 GB of this limit, most of
it never touched. An allocation beyond the limit fails inside the process, which can report it, and
the worker survives.
"""

import resource
from dataclasses import dataclass


@dataclass(frozen=True)
class ProcessLimits:
    """Resource limits of one process; None: no limit.

    Attributes:
        memory_bytes: Private writable memory.
        file_bytes: Largest file that the process may write.
        open_files: Open file descriptors.
        cpu_seconds: CPU time over all threads; stops a process whose worker died.
    """

    memory_bytes: int | None = None
    file_bytes: int | None = None
    open_files: int | None = None
    cpu_seconds: int | None = None


def apply_limits(limits: ProcessLimits) -> None:
    """Set the limits of this process permanently; never raise a limit above its current value."""
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_DATA, limits.memory_bytes)
    _set(resource.RLIMIT_FSIZE, limits.file_bytes)
    _set(resource.RLIMIT_NOFILE, limits.open_files)
    _set(resource.RLIMIT_CPU, limits.cpu_seconds)


def _set(kind: int, limit: int | None) -> None:
    if limit is None:
        return
    _, hard = resource.getrlimit(kind)
    value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (value, value))

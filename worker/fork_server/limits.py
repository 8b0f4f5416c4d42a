"""How much a job's process may use: taken upon itself, and then out of its reach.

The memory limit is on private writable memory (``RLIMIT_DATA``, which since Linux 4.7 counts
anonymous mappings as well as the heap), not on address space: torch with CUDA maps 3 GiB of
libraries before it computes anything, CUDA reserves the size of the machine's memory and of every
GPU's, and neither is memory that a job uses. Importing torch 2.14 takes 0.75 GB of this limit, most
of it never touched. An allocation beyond it fails inside the process, which can say so, and the
worker lives.
"""

import resource
from dataclasses import dataclass


@dataclass(frozen=True)
class ProcessLimits:
    """Limits of one process; None: none.

    Attributes:
        memory_bytes: Private writable memory.
        file_bytes: The largest file that it may write.
        open_files: Descriptors.
        cpu_seconds: CPU time, over all threads: for the case that nobody is left to stop it.
    """

    memory_bytes: int | None = None
    file_bytes: int | None = None
    open_files: int | None = None
    cpu_seconds: int | None = None


def apply_limits(limits: ProcessLimits) -> None:
    """Set the limits of this process, for good; none is raised above what is in force."""
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

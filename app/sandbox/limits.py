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
        num_threads: Threads and processes. The kernel counts those of a user, in all jobs; see
            `apply_limits`.
    """

    memory_bytes: int | None = None
    file_bytes: int | None = None
    open_files: int | None = None
    cpu_seconds: int | None = None
    num_threads: int | None = None


def apply_limits(limits: ProcessLimits, *, has_own_users: bool = False) -> None:
    """Set the limits of this process permanently; never raise a limit above its current value.

    Args:
        limits: The limits.
        has_own_users: Whether the process has a user namespace of its own. Only there the kernel
            counts threads without those of other jobs.
    """
    _set(resource.RLIMIT_CORE, 0)
    _set(resource.RLIMIT_DATA, limits.memory_bytes)
    _set(resource.RLIMIT_FSIZE, limits.file_bytes)
    _set(resource.RLIMIT_NOFILE, limits.open_files)
    _set(resource.RLIMIT_CPU, limits.cpu_seconds)
    if has_own_users:
        _set(resource.RLIMIT_NPROC, limits.num_threads)


def _set(kind: int, limit: int | None) -> None:
    if limit is None:
        return
    _, hard = resource.getrlimit(kind)
    value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (value, value))

"""Memory of this process, as Linux counts it; elsewhere nothing is measured.

`Meter` must be created before the process drops its rights: it resets the kernel's high-water mark
through a file of /proc that the sandbox does not let it open.
"""

import contextlib
import ctypes
import mmap
import os
import re
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

_STATUS = Path("/proc/self/status")
_RESET = Path("/proc/self/clear_refs")
_RESET_PEAK = b"5"  # since Linux 4.0
_KIBIBYTE = 1024
_LARGE_BYTES = 16 * 1024**2
_STEP_BYTES = 8 * 1024**2
_PEAK, _NOW = re.compile(rb"VmHWM:\s+(\d+)"), re.compile(rb"VmRSS:\s+(\d+)")

T = TypeVar("T")


class Meter:
    """Measures how far memory rises during a call."""

    def __init__(self) -> None:
        self._reset = self._status = -1
        with contextlib.suppress(OSError):  # another system, or a container without the file
            self._status = os.open(_STATUS, os.O_RDONLY | os.O_CLOEXEC)
            self._reset = os.open(_RESET, os.O_WRONLY | os.O_CLOEXEC)

    def now(self) -> int:
        """Return the memory in use, in bytes; 0 where it cannot be measured."""
        return self._read(_NOW)

    def rise(self, call: Callable[[], T]) -> tuple[T, int]:
        """Call a function; return its result and the bytes by which memory rose in between.

        Other threads' allocations count as well, so the result may be too large, never too small.
        """
        if self._reset < 0:
            return call(), 0
        os.write(self._reset, _RESET_PEAK)
        before = self.now()
        result = call()
        return result, max(0, self._read(_PEAK) - before)

    def _read(self, pattern: re.Pattern[bytes]) -> int:
        if self._status < 0:
            return 0
        match = pattern.search(os.pread(self._status, 4096, 0))
        return int(match[1]) * _KIBIBYTE if match else 0


def trim() -> None:
    """Return freed memory to the system: glibc keeps it otherwise."""
    if sys.platform == "linux":
        release = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if release is not None:
            release(0)


def given_back_in_steps(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array, whose memory goes back to the system in steps once nothing needs it.

    Otherwise NumPy frees it at once, and holds the interpreter's lock: 0.1 s for 250 MB, in which
    no other thread of the process can answer.
    """
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    if sys.platform == "linux" and owner.flags.owndata and owner.nbytes >= _LARGE_BYTES:
        # Called when the array and all views of it are gone, before the memory is freed.
        goodbye = weakref.finalize(owner, _give_back, owner.ctypes.data, owner.nbytes)
        goodbye.atexit = False
    return array


def _give_back(address: int, num_bytes: int) -> None:
    """Return the whole pages of a block to the system; other threads run during each step."""
    end = address + num_bytes
    end -= end % mmap.PAGESIZE
    start = address + -address % mmap.PAGESIZE
    libc = ctypes.CDLL(None)  # its calls let go of the interpreter's lock
    for first in range(start, end, _STEP_BYTES):
        size = ctypes.c_size_t(min(_STEP_BYTES, end - first))
        libc.madvise(ctypes.c_void_p(first), size, mmap.MADV_DONTNEED)

"""Notes that survive a process: which thread computed which call, and which thread crashed.

A native crash kills the process without a word to Python. Python's fault handler still writes the
number of the crashed thread, to a file that the API holds open. Each thread notes its call in the
same file beforehand, so the API knows what to hold back.

If the API kills the process for its memory or its silence, it compares what the threads have used:
Linux counts the CPU time of each.
"""

import faulthandler
import itertools
import mmap
import os
import re
import resource
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

# Python's and the kernel's number of the thread, number of the call; CPU time before it.
_NOTE = struct.Struct("<QQQdd")
_TABLE_BYTES = 4 * mmap.PAGESIZE
_MOST_REPORT_BYTES = 65_536
_USER, _SYSTEM = 11, 12  # of /proc/PID/task/TID/stat behind the command's bracket
_CRASHED = re.compile(rb"Current thread 0x([0-9a-f]+)")


class Use(NamedTuple):
    """What a thread has used during a call.

    Attributes:
        system_seconds: CPU time in the kernel. Most of it clears pages that the thread is the first
            to touch, so it shows who took memory; faults do not, for pages differ in size.
        user_seconds: CPU time outside of the kernel.
    """

    system_seconds: float
    user_seconds: float


class CrashNotes:
    """The process's side of the file."""

    def __init__(self, descriptor: int) -> None:
        os.ftruncate(descriptor, _TABLE_BYTES)
        os.lseek(descriptor, _TABLE_BYTES, os.SEEK_SET)
        self._table = mmap.mmap(descriptor, _TABLE_BYTES)
        faulthandler.enable(descriptor)
        self._places = itertools.count()
        self._local = threading.local()

    @contextmanager
    def computing(self, number: int) -> Iterator[None]:
        """Note that this thread computes a call."""
        place: int | None = getattr(self._local, "place", None)
        if place is None:
            place = self._local.place = next(self._places) % (_TABLE_BYTES // _NOTE.size)
        start = place * _NOTE.size
        ours = threading.get_ident(), threading.get_native_id()
        _NOTE.pack_into(self._table, start, *ours, number, *_used())
        try:
            yield
        finally:
            _NOTE.pack_into(self._table, start, 0, 0, 0, 0, 0)


def _used() -> tuple[float, float]:
    """Return the CPU time of this thread, in and outside of the kernel; 0 where it is unknown."""
    if sys.platform != "linux":
        return 0.0, 0.0
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return used.ru_stime, used.ru_utime


def uses_of(descriptor: int, pid: int) -> dict[int, Use]:
    """Return what each call has used in a living process, by number; empty where it is unknown."""
    found = {}
    for _, thread, number, system, user in _notes(descriptor):
        try:
            stat = Path(f"/proc/{pid}/task/{thread}/stat").read_text()
        except OSError:
            continue
        fields = stat.rpartition(")")[2].split()
        second = os.sysconf("SC_CLK_TCK")
        found[number] = Use(
            max(0.0, int(fields[_SYSTEM]) / second - system),
            max(0.0, int(fields[_USER]) / second - user),
        )
    return found


def crashed_call(descriptor: int) -> int | None:
    """Return the call whose thread crashed, from the file that the process left; None: unknown."""
    report = os.pread(descriptor, _MOST_REPORT_BYTES, _TABLE_BYTES)
    match = _CRASHED.search(report)
    if match is None:
        return None
    thread = int(match[1], 16)
    return next((note[2] for note in _notes(descriptor) if note[0] == thread), None)


def _notes(descriptor: int) -> list[tuple[int, int, int, float, float]]:
    table = os.pread(descriptor, _TABLE_BYTES, 0)
    whole = table[: len(table) // _NOTE.size * _NOTE.size]
    return [note for note in _NOTE.iter_unpack(whole) if note[0]]

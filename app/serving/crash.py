"""Notes that survive a crash: which thread computed which call, and which thread crashed.

A native crash kills the process without a word to Python. Python's fault handler still writes the
number of the crashed thread, to a file that the API holds open. Each thread notes its call in the
same file beforehand, so the API knows what to hold back.
"""

import faulthandler
import itertools
import mmap
import os
import re
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_NOTE = struct.Struct("<QQ")  # number of the thread, number of the call
_TABLE_BYTES = mmap.PAGESIZE
_MOST_REPORT_BYTES = 65_536
_CRASHED = re.compile(rb"Current thread 0x([0-9a-f]+)")


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
        _NOTE.pack_into(self._table, start, threading.get_ident(), number)
        try:
            yield
        finally:
            _NOTE.pack_into(self._table, start, 0, 0)


def crashed_call(descriptor: int) -> int | None:
    """Return the call whose thread crashed, from the file that the process left; None: unknown."""
    report = os.pread(descriptor, _MOST_REPORT_BYTES, _TABLE_BYTES)
    match = _CRASHED.search(report)
    table = os.pread(descriptor, _TABLE_BYTES, 0)
    if match is None or len(table) < _TABLE_BYTES:
        return None
    thread = int(match[1], 16)
    for found, number in _NOTE.iter_unpack(table):
        if found == thread:
            return int(number)
    return None

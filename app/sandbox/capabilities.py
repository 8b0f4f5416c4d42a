"""Give up every capability: as root a job's process has them all, in its own user namespace too.

Without them root is an ordinary user who owns root's files. The bounding set is emptied first, so
that no program that the process starts gets any of them back.
"""

import contextlib
import ctypes
import struct

from app.sandbox.kernel import LIBC, check

_PR_CAPBSET_READ, _PR_CAPBSET_DROP = 23, 24
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_VERSION_3 = 0x2008_0522  # two words for each of: effective, permitted, inheritable


def drop_capabilities() -> None:
    """Empty the capability sets of this thread.

    Raises:
        OSError: The kernel refused.
    """
    number = 0
    while LIBC.prctl(_PR_CAPBSET_READ, number, 0, 0, 0) >= 0:
        # An ordinary user may not do it, and has nothing in the other sets to be bound.
        LIBC.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
        number += 1
    with contextlib.suppress(OSError):  # Linux 4.3
        check(LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))
    header = ctypes.create_string_buffer(struct.pack("Ii", _VERSION_3, 0))
    nothing = ctypes.create_string_buffer(struct.pack("6I", *[0] * 6))
    check(LIBC.capset(header, nothing))

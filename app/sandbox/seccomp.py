"""Refuse the system calls that `syscalls` does not list (seccomp).

The filter is a program of the kernel's classic BPF, about 400 instructions that one system call
installs. libseccomp would write the same program. It is a C library, which a slim image or a
machine without root may lack, and its Python wheels need that library from the system.
"""

import ctypes
import errno
import platform
import struct
from collections.abc import Sequence

from app.sandbox.kernel import LIBC, check
from app.sandbox.needs import Needs
from app.sandbox.syscalls import NEWEST, Check, Group, allowed_calls

_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
# By machine: the column of its numbers, and the name of its calling convention.
_MACHINES = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}
_LOAD, _AND, _EQUAL, _ABOVE, _ANSWER = 0x20, 0x54, 0x15, 0x25, 0x06
_ALLOW, _REFUSE = 0x7FFF_0000, 0x0005_0000
_NUMBER, _CONVENTION, _ARGUMENTS = 0, 4, 16  # offsets in the kernel's seccomp_data
_CLONE3 = 435  # its flags lie in memory, where no filter sees them; libc then uses clone

Line = tuple[int, int, int, int]


def filter_calls(needs: Needs, pid: int) -> None:
    """Refuse all other calls to this process, for good.

    Args:
        needs: What the job needs.
        pid: Its process id.

    Raises:
        OSError: The kernel has no filters, or there is no list for this machine.
    """
    program = compile_filter(platform.machine(), allowed_calls(needs, pid))
    lines = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_void_p))

    filled = Program(len(program), ctypes.addressof(lines))
    check(LIBC.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(filled), 0, 0))


def compile_filter(machine: str, groups: Sequence[Group]) -> list[Line]:
    """Return the filter's program: code, jump if true, jump if false, operand of each line.

    Raises:
        OSError: There is no list for this machine.
    """
    if machine not in _MACHINES:
        raise OSError(errno.ENOTSUP, "no filter for this machine")
    column, convention = _MACHINES[machine]
    missing = (_ANSWER, 0, 0, _REFUSE | errno.ENOSYS)
    refused = (_ANSWER, 0, 0, _REFUSE | errno.EPERM)
    lines: list[Line] = [
        (_LOAD, 0, 0, _CONVENTION),
        (_EQUAL, 1, 0, convention),
        refused,  # 32-bit calls have other numbers
        (_LOAD, 0, 0, _NUMBER),
        (_ABOVE, 0, 1, NEWEST),  # those of the x32 convention too
        missing,
        (_EQUAL, 0, 1, _CLONE3),
        missing,
    ]
    for group in groups:
        body = _body(group)
        for number in _numbers(group.calls, column):
            lines += [(_EQUAL, 0, len(body), number), *body]
    return [*lines, refused]


def _body(group: Group) -> list[Line]:
    """Return the lines that answer a call of the group."""
    allow, refuse = (_ANSWER, 0, 0, _ALLOW), (_ANSWER, 0, 0, _REFUSE | group.error)
    condition = group.check
    if condition is None:
        return [allow]
    comparisons = _comparisons(condition)
    return [
        (_LOAD, 0, 0, _ARGUMENTS + 8 * condition.argument),
        (_AND, 0, 0, condition.mask),
        *comparisons,
        *((allow, refuse) if condition.is_inverse else (refuse, allow)),
    ]


def _comparisons(condition: Check) -> list[Line]:
    """Return lines that skip one line after them if the argument is one of the values."""
    count = len(condition.values)
    return [(_EQUAL, count - index, 0, value) for index, value in enumerate(condition.values)]


def _numbers(calls: str, column: int) -> list[int]:
    found = [call.split()[1 + column] for call in calls.split(",")]
    return [int(number) for number in found if number != "-"]

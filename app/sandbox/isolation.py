"""Sandbox of a process: drop the network and foreign files before opening a user's file.

There are three rungs. Each is applied where the kernel supports it, and the worker logs which ones
were granted:

- ``filter`` (seccomp): the process cannot create a socket of any kind, so it reaches neither the
  network nor the unix sockets of Redis and PostgreSQL. Works inside containers.
- ``network`` (namespace): a separate network without interfaces. Needs root, or a kernel that lets
  users create namespaces.
- ``files`` (Landlock, Linux 5.13): read the system, Python and the own folders; write the own
  folders and devices, and make only files and folders there, no links, pipes, sockets or devices.
  The process cannot trace processes outside, nor signal them (Linux 6.12).

No well-maintained library does all three without a compiler or privileges, so this module makes the
system calls. The numbers come from the kernel's headers, `linux/landlock.h` and `linux/seccomp.h`.
"""

import contextlib
import ctypes
import errno
import os
import platform
import struct
import sys
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_THREADS = Path("/proc/self/task")

_CLONE_NEWUSER, _CLONE_NEWNET = 0x1000_0000, 0x4000_0000
_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _SECCOMP_MODE_FILTER = 22, 38, 2
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH, _CREATE_RULESET_VERSION = 1, 1

# Landlock's access rights, by the ABI version that introduced them.
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_SOCK, _MAKE_FIFO = 1 << 6, 1 << 9, 1 << 10
_MAKE_BLOCK, _MAKE_SYM = 1 << 11, 1 << 12
_FIRST_RIGHTS, _REFER, _TRUNCATE, _IOCTL_DEV = (1 << 13) - 1, 1 << 13, 1 << 14, 1 << 15
# A job needs only files and folders. A process outside the sandbox that opens one of these would
# be led out of the folder, or wait in `open` for ever.
_MAKE_SPECIAL = _MAKE_CHAR | _MAKE_SOCK | _MAKE_FIFO | _MAKE_BLOCK | _MAKE_SYM
_NET_RIGHTS = 0b11  # binding and connecting TCP
_SCOPES = 0b11  # abstract unix sockets, signals
_NET_ABI, _IOCTL_ABI, _SCOPE_ABI = 4, 5, 6

_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/opt", "/etc", "/sys",
    # Not all of /proc: it contains the worker's environment with its secrets.
    "/proc/self", "/proc/sys", "/proc/driver", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
    "/proc/filesystems", "/proc/devices", "/proc/version",
)  # fmt: skip

# By machine: the name of the calling convention, socket(2) and io_uring_setup(2).
_CALLS = {"x86_64": (0xC000_003E, 41, 425), "aarch64": (0xC000_00B7, 198, 425)}
_X32 = 0x4000_0000


def isolate(writable: Sequence[Path], *, is_gpu: bool = False) -> list[str]:
    """Drop access to network and files for this process and its children.

    Call it in a process with one thread.

    Args:
        writable: Folders that stay writable; they must exist.
        is_gpu: Whether the process may name its threads by writing to /proc. NVIDIA's driver (570
            and newer) does so when it initialises, and fails if it cannot.

    Returns:
        The rungs that the kernel granted, in the order in which they were applied.
    """
    if sys.platform != "linux":
        return []
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return []
    rungs: dict[str, Callable[[], None]] = {
        "network": lambda: _leave_network(libc),
        "files": lambda: _leave_files(libc, writable, is_gpu=is_gpu),
        "filter": lambda: _filter_calls(libc),
    }
    granted = []
    for name, take in rungs.items():
        with contextlib.suppress(OSError):
            take()
            granted.append(name)
    return granted


def _leave_network(libc: ctypes.CDLL) -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _check(libc.unshare(_CLONE_NEWNET))
        return
    _check(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET))
    # Map the ids to themselves; otherwise all files would appear to belong to nobody.
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")


def _leave_files(libc: ctypes.CDLL, writable: Sequence[Path], *, is_gpu: bool) -> None:
    abi = libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    _check(abi)
    handled = _FIRST_RIGHTS
    for right, since in ((_REFER, 2), (_TRUNCATE, 3), (_IOCTL_DEV, _IOCTL_ABI)):
        handled |= right if abi >= since else 0
    attributes = struct.pack(
        "QQQ", handled, _NET_RIGHTS if abi >= _NET_ABI else 0, _SCOPES if abi >= _SCOPE_ABI else 0
    )
    size = 24 if abi >= _SCOPE_ABI else 16 if abi >= _NET_ABI else 8
    ruleset = _check(libc.syscall(_CREATE_RULESET, attributes[:size], size, 0))
    try:
        read = _EXECUTE | _READ_FILE | _READ_DIR
        device = (read | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV) & handled
        _allow(libc, ruleset, _readable(), read)
        _allow(libc, ruleset, [Path("/dev")], device)
        _allow(libc, ruleset, writable, handled & ~(_EXECUTE | _MAKE_SPECIAL))
        if is_gpu:
            _allow(libc, ruleset, [_THREADS], (read | _WRITE_FILE | _TRUNCATE) & handled)
        _check(libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _readable() -> list[Path]:
    """Return the paths of the system, of Python's packages and of our own packages."""
    python = {sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), *sys.path}
    # A service that was started in a checkout keeps its data in the checkout's root.
    python -= {str(_ROOT)}
    own = [_ROOT / name for name in ("app", "secateur", "worker")]
    return [*map(Path, _SYSTEM), *map(Path, sorted(python)), *own]


def _allow(libc: ctypes.CDLL, ruleset: int, paths: Iterable[Path], rights: int) -> None:
    for path in paths:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # not on this machine
            continue
        try:
            granted = rights if path.is_dir() else rights & ~_READ_DIR
            rule = struct.pack("=Qi", granted, descriptor)
            _check(libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0))
        finally:
            os.close(descriptor)


def _filter_calls(libc: ctypes.CDLL) -> None:
    if platform.machine() not in _CALLS:
        raise OSError(errno.ENOTSUP, "no filter for this machine")
    convention, make_socket, make_ring = _CALLS[platform.machine()]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06  # classic BPF: LD ABS, JEQ, JGE, RET
    allow, refuse = 0x7FFF_0000, 0x0005_0000 | errno.EACCES
    lines = (
        (load, 0, 0, 4),  # seccomp_data.arch
        (equal, 0, 5, convention),
        (load, 0, 0, 0),  # seccomp_data.nr
        (at_least, 3, 0, _X32),
        (equal, 2, 0, make_socket),
        (equal, 1, 0, make_ring),
        (answer, 0, 0, allow),
        (answer, 0, 0, refuse),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("lines", ctypes.c_void_p))

    program = Program(len(lines), ctypes.addressof(code))
    _check(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

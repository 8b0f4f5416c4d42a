"""Leave a process only the files it needs (Landlock, Linux 5.13).

It reads the system, Python and its own folders, and writes its own folders and ``/dev/null``. It
makes only files and folders there: no links, pipes, sockets or devices. It cannot trace processes
outside, nor signal them (Linux 6.12). The numbers come from the kernel's `linux/landlock.h`.
"""

import contextlib
import os
import struct
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from app.sandbox.kernel import LIBC, check
from app.sandbox.needs import Needs

_ROOT = Path(__file__).parents[2]
_THREADS = Path("/proc/self/task")

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH, _CREATE_RULESET_VERSION = 1, 1

# Access rights, by the ABI version that introduced them.
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
    "/usr", "/lib", "/lib64", "/bin", "/opt", "/sys",
    # Not all of /etc: root, and a service's own user, may read secrets there.
    "/etc/alternatives", "/etc/crypto-policies", "/etc/debian_version", "/etc/group",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/localtime",
    "/etc/nsswitch.conf", "/etc/nvidia", "/etc/OpenCL", "/etc/os-release", "/etc/passwd",
    "/etc/pki/tls/openssl.cnf", "/etc/python3", "/etc/ssl/openssl.cnf", "/etc/timezone",
    # Not all of /proc: it contains the worker's environment with its secrets.
    "/proc/self", "/proc/sys", "/proc/driver", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat",
    "/proc/filesystems", "/proc/devices", "/proc/version",
)  # fmt: skip

# Not all of /dev: it contains the operator's terminal, memory and disks. Neither /dev/zero, whose
# shared mappings are memory that no process is charged for, nor /dev/shm, which all share.
_SINK, _SOURCES = "/dev/null", ("/dev/random", "/dev/urandom")
_GPU_DEVICES = ("zero", "nvidia*", "dxg")


def leave_files(writable: Sequence[Path], needs: Needs, hidden: Sequence[Path] = ()) -> None:
    """Drop access to all files but those of the system and the folders ``writable``.

    Args:
        writable: Folders that stay writable; they must exist.
        needs: What the job needs.
        hidden: Folders that stay hidden although they lie below a readable one, such as the data
            of a service that was installed below /opt.

    Raises:
        OSError: The kernel has no Landlock.
    """
    abi = check(LIBC.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION))
    handled = _FIRST_RIGHTS
    for right, since in ((_REFER, 2), (_TRUNCATE, 3), (_IOCTL_DEV, _IOCTL_ABI)):
        handled |= right if abi >= since else 0
    attributes = struct.pack(
        "QQQ", handled, _NET_RIGHTS if abi >= _NET_ABI else 0, _SCOPES if abi >= _SCOPE_ABI else 0
    )
    size = 24 if abi >= _SCOPE_ABI else 16 if abi >= _NET_ABI else 8
    ruleset = check(LIBC.syscall(_CREATE_RULESET, attributes[:size], size, 0))
    try:
        read = _READ_FILE | _READ_DIR
        write = (read | _WRITE_FILE | _TRUNCATE) & handled
        readable = without(_readable(), hidden)
        _allow(ruleset, readable, read | (_EXECUTE if needs.programs else 0))
        _allow(ruleset, [Path(_SINK)], write)
        _allow(ruleset, map(Path, _SOURCES), read)
        _allow(ruleset, writable, handled & ~(_EXECUTE | _MAKE_SPECIAL))
        if needs.gpu:
            devices = [path for each in _GPU_DEVICES for path in Path("/dev").glob(each)]
            _allow(ruleset, devices, write | (_IOCTL_DEV & handled))
            _allow(ruleset, [_THREADS], write)
        check(LIBC.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def without(paths: Iterable[Path], hidden: Sequence[Path]) -> Iterator[Path]:
    """Yield the paths, but instead of one around a hidden folder what lies beside that folder."""
    excluded = {path.resolve() for path in hidden}
    for path in paths:
        real = path.resolve()
        if real in excluded:
            continue
        if not any(real in each.parents for each in excluded):
            yield path
            continue
        with contextlib.suppress(OSError):  # nothing below it is readable anyway
            yield from without(sorted(real.iterdir()), hidden)


def _readable() -> list[Path]:
    """Return the paths of the system, of Python's packages and of our own packages."""
    python = {sys.prefix, sys.base_prefix, sysconfig.get_path("stdlib"), *sys.path}
    # A service that was started in a checkout keeps its data in the checkout's root.
    python -= {str(_ROOT)}
    own = [_ROOT / name for name in ("app", "secateur", "worker")]
    return [*map(Path, _SYSTEM), *map(Path, sorted(python)), *own]


def _allow(ruleset: int, paths: Iterable[Path], rights: int) -> None:
    for path in paths:
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:  # not on this machine
            continue
        try:
            granted = rights if path.is_dir() else rights & ~_READ_DIR
            rule = struct.pack("=Qi", granted, descriptor)
            check(LIBC.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0))
        finally:
            os.close(descriptor)

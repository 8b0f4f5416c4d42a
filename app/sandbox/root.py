"""Whether this process is root of the machine, whom a mistake in the sandbox would cost most."""

import os
from pathlib import Path

_ROOT = Path("/")
# The user namespace of the machine maps all ids to themselves.
_EVERYBODY = ("0", "0", "4294967295")
_MARKS = (".dockerenv", "run/.containerenv")
_WORDS = ("docker", "containerd", "kubepods", "libpod", "lxc")


def is_root_of_machine(user: int | None = None, root: Path = _ROOT) -> bool:
    """Return whether we are root outside a container and outside a user namespace.

    Args:
        user: User id; None: ours.
        root: Root of the file system.
    """
    if (os.geteuid() if user is None else user) != 0:
        return False
    users = _read(root / "proc/self/uid_map").split()
    if users and tuple(users) != _EVERYBODY:
        return False
    if any((root / mark).exists() for mark in _MARKS):
        return False
    first = _read(root / "proc/1/cgroup") + _read(root / "proc/1/environ")
    return not ("container=" in first or any(word in first for word in _WORDS))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

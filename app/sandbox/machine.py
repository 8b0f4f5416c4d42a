"""Memory of this machine, or of the container that this process runs in."""

import os
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_GROUPS = Path("/proc/self/cgroup")
_FILES = {"": "memory.max", "memory": "memory.limit_in_bytes"}  # by controller; "": version 2


def memory_bytes(root: Path = _ROOT, groups: Path = _GROUPS) -> int:
    """Return the memory that processes here may use in total, in bytes.

    Args:
        root: Where control groups are mounted.
        groups: File that lists this process's groups.
    """
    found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _limits(root, groups):
        try:
            found = min(found, int(path.read_text(encoding="ascii")))
        except (OSError, ValueError):  # another version of control groups, or "max"
            continue
    return found


def _limits(root: Path, groups: Path) -> Iterator[Path]:
    """Yield the files with the limits of our control groups and of the groups around them."""
    try:
        lines = groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for controller, name in _FILES.items():
        top = root / controller
        yield top / name
        for line in lines:
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                group = Path(path.strip("/"))
                yield from (top / each / name for each in (group, *group.parents))

"""Count the kernel's out-of-memory kills, to tell them from other deaths of a process."""

from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_COUNTS = ("oom_kill", "oom_group_kill")
_MACHINE = Path("/proc/vmstat")


def count_memory_kills(root: Path = _ROOT, machine: Path = _MACHINE) -> int:
    """Return how many processes of our control group the kernel has killed for memory.

    Without cgroup v2, return the number on the machine. Without that, return 0: an out-of-memory
    kill then counts as any other death.
    """
    try:
        group = Path("/proc/self/cgroup").read_text().partition("::")[2].strip()
    except OSError:
        group = ""
    own = root / group.lstrip("/") / "memory.events"
    for path in (own, root / "memory.events", machine):
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        pairs = (line.partition(" ") for line in lines)
        return sum(int(count) for name, _, count in pairs if name in _COUNTS)
    return 0

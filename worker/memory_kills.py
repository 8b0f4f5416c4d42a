"""Was it the kernel, for memory, that killed a process? The control group's own count says."""

from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_COUNTS = ("oom_kill", "oom_group_kill")


def count_memory_kills(root: Path = _ROOT) -> int:
    """Return how many processes of our control group the kernel has killed for memory.

    0 where it cannot be told (no cgroup v2): a killed process is then taken for any other.
    """
    try:
        group = Path("/proc/self/cgroup").read_text().partition("::")[2].strip()
    except OSError:
        group = ""
    for path in (root / group.lstrip("/") / "memory.events", root / "memory.events"):
        try:
            lines = path.read_text().splitlines()
        except OSError:
            continue
        pairs = (line.partition(" ") for line in lines)
        return sum(int(count) for name, _, count in pairs if name in _COUNTS)
    return 0

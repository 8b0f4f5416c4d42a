"""Watch what a job's processes use together, and end them over their limits.

The kernel limits each process by itself, and not all of its memory (`app.sandbox.limits`). A thread
adds up what the kernel charges to the job's processes: anonymous, shared, swapped and huge pages,
and threads. It does not need control groups, which a container may not divide, and does not wait
for messages or for the database.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from app.sandbox.limits import ProcessLimits
from worker.group_watch import GroupWatch

_SECONDS = 0.2
_PAGES = ("RssAnon", "RssShmem", "VmSwap", "HugetlbPages")
_SHARES = ("Pss_Anon", "Pss_Shmem", "SwapPss", "Private_Hugetlb", "Shared_Hugetlb")
_PROC = Path("/proc")
_SESSION = 3  # of /proc/PID/stat after the command's closing bracket


@dataclass(frozen=True)
class Use:
    """What processes use together."""

    memory_bytes: int
    num_threads: int


@dataclass(frozen=True)
class Excess:
    """A limit that a job's processes went over.

    Attributes:
        is_memory: Whether it is the limit on memory.
        message: The value and the limit.
    """

    is_memory: bool
    message: str


class ProcessWatch(GroupWatch):
    """Thread that ends a process group over its limits.

    Attributes:
        excess: Why it was ended; None: it was not.
    """

    def __init__(self, leader: int, limits: ProcessLimits, *, has_children: bool) -> None:
        """Create the watch.

        Args:
            leader: Process id of the group's leader, which leads a session too.
            limits: Limits on memory and threads.
            has_children: Whether the leader may start processes.
        """
        self._limits, self._has_children = limits, has_children
        super().__init__(leader, "watch")
        self.excess: Excess | None = None

    def _run(self) -> None:
        was_over = False
        while not self._stopping.wait(_SECONDS):
            used = self._use()
            if used is None:
                return
            excess = self._judge(used)
            # A process that is becoming another program shares its parent's memory for a moment.
            if excess is not None and (was_over or not self._has_children):
                self.excess = excess
                self._end_group()
                return
            was_over = excess is not None

    def _use(self) -> Use | None:
        if not self._has_children:
            return use_of(self._leader)
        found = {pid: used for pid in members(self._leader) if (used := use_of(pid)) is not None}
        if not found:
            return None
        threads = sum(used.num_threads for used in found.values())
        memory = sum(used.memory_bytes for used in found.values())
        if memory > (self._limits.memory_bytes or memory):
            # Pages that several processes share were counted for each. This costs milliseconds.
            memory = sum(share_of(pid, used.memory_bytes) for pid, used in found.items())
        return Use(memory, threads)

    def _judge(self, used: Use) -> Excess | None:
        memory, threads = self._limits.memory_bytes, self._limits.num_threads
        if memory is not None and used.memory_bytes > memory:
            message = f"used {used.memory_bytes:,} bytes of memory; the limit is {memory:,}"
            return Excess(is_memory=True, message=message)
        if threads is not None and used.num_threads > threads:
            message = f"ran {used.num_threads:,} threads and processes; the limit is {threads:,}"
            return Excess(is_memory=False, message=message)
        return None


def use_of(pid: int) -> Use | None:
    """Return what a process uses; None if it has ended."""
    fields = _fields(pid, "status")
    if "RssAnon" not in fields:  # a zombie, or gone
        return None
    return Use(_sum(fields, _PAGES), int(fields["Threads"]))


def share_of(pid: int, otherwise: int) -> int:
    """Return a process's memory, counting shared pages in proportion; the kernel may not say."""
    fields = _fields(pid, "smaps_rollup")
    return _sum(fields, _SHARES) if "Pss_Anon" in fields else otherwise


def members(leader: int) -> Iterator[int]:
    """Yield the processes of a session."""
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        try:
            stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if int(stat.rpartition(")")[2].split()[_SESSION]) == leader:
            yield int(folder.name)


def has_confined(leader: int) -> bool:
    """Return whether a process of the session runs in the sandbox."""
    found = (_fields(pid, "status") for pid in members(leader))
    return any(fields.get("Seccomp", "").strip() == "2" for fields in found)


def _fields(pid: int, name: str) -> dict[str, str]:
    try:
        text = (_PROC / str(pid) / name).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def _sum(fields: dict[str, str], names: Iterable[str]) -> int:
    return 1024 * sum(int(fields[name].split()[0]) for name in names if name in fields)

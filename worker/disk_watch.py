"""Watch what a job's processes write to disk, and end them over the limit.

The kernel limits the size of one file (`app.sandbox.limits`), not their number, and file systems
have no quotas by process. A thread adds up what is stored in the folders that the job may write,
and in deleted files that it still holds open: these are in no folder.
"""

import os
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from worker.group_watch import GroupWatch
from worker.process_watch import members

_SECONDS = 0.5
_REST = 10  # times as long as a look took: a job with many files must not occupy the worker
_BLOCK = 512  # of `st_blocks`, whatever the file system's own are
_FILE_BYTES = 4096  # that any file takes, so that the limit bounds the number of files too
_SHARE = 0.75  # of the free space, for all jobs together


def share_of_disk(folder: Path, num_slots: int) -> int:
    """Return what one of ``num_slots`` jobs may write if no limit is set."""
    folder.mkdir(parents=True, exist_ok=True)
    return int(_SHARE * shutil.disk_usage(folder).free / num_slots)


class DiskWatch(GroupWatch):
    """Thread that ends a process group that writes more than a limit.

    Attributes:
        excess: What it wrote, and the limit; empty: it did not exceed it.
    """

    def __init__(self, leader: int, paths: Sequence[Path], most_bytes: int) -> None:
        """Create the watch.

        Args:
            leader: Process id of the group's leader, which leads a session too.
            paths: Folders and files that the job may write.
            most_bytes: Most that may be added to them.
        """
        self._paths, self._most_bytes = paths, most_bytes
        self._start_bytes = sum(sizes_in(paths))  # inputs, checkpoints and caches
        super().__init__(leader, "disk")
        self.excess = ""

    def _run(self) -> None:
        rest = _SECONDS
        while not self._stopping.wait(rest):
            began = time.monotonic()
            written = self._look()
            if written > self._most_bytes:
                self.excess = (
                    f"wrote more than {self._most_bytes:,} bytes to the worker's disk, which is "
                    "the limit for one job"
                )
                self._end_group()
                return
            rest = max(_SECONDS, _REST * (time.monotonic() - began))

    def _look(self) -> int:
        """Return what was written, or a number over the limit as soon as that is certain."""
        written = -self._start_bytes
        for sizes in (sizes_in(self._paths), deleted_sizes(self._leader, self._paths[0])):
            for size in sizes:
                written += size
                if written > self._most_bytes or self._stopping.is_set():
                    return written
        return written


def sizes_in(paths: Sequence[Path]) -> Iterator[int]:
    """Yield what each file, and each file in a folder, takes on disk; links are not followed."""
    waiting = list(map(str, paths))
    while waiting:
        path = waiting.pop()
        try:
            found = os.lstat(path)
            if stat.S_ISDIR(found.st_mode):
                with os.scandir(path) as entries:
                    waiting += [entry.path for entry in entries]
        except OSError:
            continue  # it is gone
        yield max(_FILE_BYTES, found.st_blocks * _BLOCK)


def deleted_sizes(leader: int, folder: Path) -> Iterator[int]:
    """Yield what each open file without a name takes on the disk of a folder."""
    device, known = folder.stat().st_dev, set()
    for pid in members(leader):
        try:
            links = list(Path(f"/proc/{pid}/fd").iterdir())
        except OSError:
            continue
        for link in links:
            try:
                found = link.stat()
            except OSError:
                continue
            is_ours = found.st_dev == device and stat.S_ISREG(found.st_mode)
            if is_ours and not found.st_nlink and found.st_ino not in known:
                known.add(found.st_ino)
                yield found.st_blocks * _BLOCK

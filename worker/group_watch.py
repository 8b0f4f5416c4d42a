"""A thread that watches a job's process group and may end it."""

import contextlib
import os
import signal
import threading
from types import TracebackType
from typing import Self


class GroupWatch:
    """Context in which a thread watches a process group; a subclass has the limits."""

    def __init__(self, leader: int, name: str) -> None:
        """Create the watch of the group that ``leader`` leads."""
        self._leader = leader
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{name}-{leader}", daemon=True)

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        """Watch until `_stopping` is set or the group has been ended."""
        raise NotImplementedError

    def _end_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._leader, signal.SIGKILL)

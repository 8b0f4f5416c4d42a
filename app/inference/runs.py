"""Runs that may be under way at once, shared by the batchers of all models."""

from collections import deque
from typing import Protocol


class Starter(Protocol):
    """A batcher, as `Runs` sees it."""

    @property
    def num_waiting(self) -> int:
        """Requests in its queue."""
        ...

    def start(self) -> bool:
        """Start a run; return whether there was anything to run."""
        ...


class Runs:
    """Limits the runs that are under way; batchers that wait for one take turns."""

    def __init__(self, number: int, ahead: int = 0) -> None:
        """Start with no runs.

        Args:
            number: Runs that are computed at once.
            ahead: Runs that are handed out besides, to begin as soon as another has ended: by then
                the event loop may be busy for longer than a run takes.
        """
        self.number, self._most = number, number + ahead
        self._num_runs = 0
        self._waiting: deque[Starter] = deque()

    @property
    def are_idle(self) -> bool:
        """Whether a run could start now and leave a thread free, if there is more than one."""
        return self._num_runs <= max(0, self.number - 2)

    @property
    def is_only_run(self) -> bool:
        """Whether the run that starts now is the only one, and no batcher waits for another."""
        return self._num_runs == 1 and not self._waiting

    def ask(self, batcher: Starter) -> None:
        """Have a batcher start a run: now, or when its turn comes."""
        if self._num_runs < self._most:
            self._num_runs += 1
            self._start(batcher)
        elif batcher not in self._waiting:
            self._waiting.append(batcher)

    def end(self) -> None:
        """End a run; the next batcher in turn starts another."""
        if self._waiting:
            self._start(self._waiting.popleft())
        else:
            self._num_runs -= 1

    def _start(self, batcher: Starter) -> None:
        if not batcher.start():
            self.end()
        elif batcher.num_waiting:
            self.ask(batcher)

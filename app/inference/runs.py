"""Limit on concurrent runs, shared by the batchers of all models."""

from collections import deque
from typing import Protocol


class Starter(Protocol):
    """Interface of a batcher to `Runs`."""

    @property
    def num_waiting(self) -> int:
        """Requests in its queue."""
        ...

    def start(self) -> bool:
        """Start a run; return whether there was anything to run."""
        ...


class Runs:
    """Limit on concurrent runs; waiting batchers take turns."""

    def __init__(self, number: int, ahead: int = 0) -> None:
        """Start with no runs.

        Args:
            number: Runs computed at once.
            ahead: Extra runs queued for the threads. They begin as soon as another run ends, even
                if the event loop is busy for longer than a run takes.
        """
        self.number, self._most = number, number + ahead
        self._num_runs = 0
        self._waiting: deque[Starter] = deque()

    @property
    def are_idle(self) -> bool:
        """Whether a run could start now and leave a thread free if there are several."""
        return self._num_runs <= max(0, self.number - 2)

    @property
    def is_only_run(self) -> bool:
        """Whether the starting run is the only one and no batcher waits."""
        return self._num_runs == 1 and not self._waiting

    def ask(self, batcher: Starter) -> None:
        """Let a batcher start a run now or when its turn comes."""
        if self._num_runs < self._most:
            self._num_runs += 1
            self._start(batcher)
        elif batcher not in self._waiting:
            self._waiting.append(batcher)

    def end(self) -> None:
        """Release a run's slot to the next waiting batcher."""
        if self._waiting:
            self._start(self._waiting.popleft())
        else:
            self._num_runs -= 1

    def _start(self, batcher: Starter) -> None:
        if not batcher.start():
            self.end()
        elif batcher.num_waiting:
            self.ask(batcher)

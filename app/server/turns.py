"""Limits the number of requests that start in one turn of the event loop.

A thousand requests that arrive together would all start in one turn of half a second, in which no
connection is accepted or read. So some start at once and the others in later turns (record 21).
"""

import asyncio
from collections import deque
from collections.abc import Callable

_MOST_A_TURN = 32  # takes about 10 ms for small inferences


class Turns:
    """Starts requests in order of arrival. For one event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._num_begun = 0
        self._is_counting = False

    @property
    def num_begun(self) -> int:
        """Requests that have arrived but not started."""
        return self._num_begun + len(self._waiting)

    def begin(self, start: Callable[[], None]) -> None:
        """Call ``start`` now, or in a later turn."""
        if not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._turn)
        if self._num_begun < _MOST_A_TURN:
            self._num_begun += 1
            start()
        else:
            self._waiting.append(start)

    def _turn(self) -> None:
        waiting = self._waiting
        self._num_begun = min(len(waiting), _MOST_A_TURN)
        self._is_counting = bool(waiting)
        if waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        for _ in range(self._num_begun):
            waiting.popleft()()

"""Holds back what crashed the serving process, so that it cannot take others down again and again.

A crash counts against the call whose thread crashed; if that is unknown, against all calls that
were being computed. The second crash within ten minutes holds a model back, longer each time.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.contracts.errors import RestartingError

_WINDOW_SECONDS = 600.0
_HOLD_SECONDS, _MOST_HOLD_SECONDS = 30.0, 3600.0
_FREE_CRASHES = 1  # a crash may have another cause
_MOST_SUSPECTS = 10_000


@dataclass
class _Suspect:
    num_crashes: int = 0
    crashed_at: float = -math.inf
    held_until: float = -math.inf


class Breaker:
    """Counts crashes by what was computed.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._suspects: dict[str, _Suspect] = {}

    @property
    def is_active(self) -> bool:
        """Whether anything ever crashed."""
        return bool(self._suspects)

    def check(self, name: str) -> None:
        """Raise `RestartingError` if ``name`` is held back."""
        suspect = self._suspects.get(name)
        if suspect is None:
            return
        left = suspect.held_until - self._clock()
        if left > 0:
            raise RestartingError(
                f"this request's model or images crashed the serving process "
                f"{suspect.num_crashes} times: it is held back for {left:.0f} s",
                retry_after_seconds=max(1.0, left),
            )

    def blame(self, names: Iterable[str]) -> list[str]:
        """Count a crash against each name; return those that are held back now."""
        now, held = self._clock(), []
        for name in set(names):
            if name not in self._suspects and len(self._suspects) >= _MOST_SUSPECTS:
                del self._suspects[next(iter(self._suspects))]
            suspect = self._suspects.setdefault(name, _Suspect())
            hold = max(0.0, suspect.held_until - suspect.crashed_at)
            if now - max(suspect.crashed_at, suspect.held_until) > _WINDOW_SECONDS:
                suspect.num_crashes, hold = 0, 0.0
            suspect.num_crashes += 1
            suspect.crashed_at = now
            if suspect.num_crashes > _FREE_CRASHES:
                hold = min(_MOST_HOLD_SECONDS, max(_HOLD_SECONDS, 2 * hold))
                suspect.held_until = now + hold
                held.append(name)
        return held

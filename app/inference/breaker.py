"""Holds back what crashed the serving process, so that it cannot take others down again and again.

A crash counts against the call whose thread crashed; if that is unknown, against all calls that
were being computed. The second crash within ten minutes holds a model back, longer each time. A
tenant whose models crashed it four times is held back too: each of its files may be another.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from app.contracts.errors import RestartingError

_WINDOW_SECONDS = 600.0
_HOLD_SECONDS, _MOST_HOLD_SECONDS = 30.0, 3600.0
_FREE_CRASHES = 1  # a crash may have another cause
_FREE_CRASHES_OF_TENANT = 3
_MOST_SUSPECTS = 10_000


@dataclass
class _Suspect:
    num_crashes: int = 0
    crashed_at: float = -math.inf
    held_until: float = -math.inf


class Breaker:
    """Counts crashes by what was computed, and by tenant.

    Args:
        clock: Monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._suspects: dict[str, _Suspect] = {}
        self._tenants: dict[str, _Suspect] = {}

    @property
    def is_active(self) -> bool:
        """Whether anything ever crashed."""
        return bool(self._suspects)

    def check(self, name: str, tenant: str) -> None:
        """Raise `RestartingError` if ``name`` or ``tenant`` is held back."""
        self._check(self._suspects.get(name), "this request's model or images")
        self._check(self._tenants.get(tenant), "this tenant's models or images")

    def blame(self, names: Iterable[str], tenant: str | None = None) -> list[str]:
        """Count a crash against each name; return those that are held back now.

        Args:
            names: Names of what may have caused it.
            tenant: The tenant that certainly caused it, if known.
        """
        if tenant is not None:
            self._count(self._tenants, tenant, _FREE_CRASHES_OF_TENANT)
        return [name for name in set(names) if self._count(self._suspects, name, _FREE_CRASHES)]

    def _check(self, suspect: _Suspect | None, what: str) -> None:
        left = 0.0 if suspect is None else suspect.held_until - self._clock()
        if suspect is not None and left > 0:
            raise RestartingError(
                f"{what} crashed the serving process {suspect.num_crashes} times: held back for "
                f"{left:.0f} s",
                retry_after_seconds=max(1.0, left),
            )

    def _count(self, suspects: dict[str, _Suspect], name: str, num_free: int) -> bool:
        """Count a crash; return whether the suspect is held back now."""
        now = self._clock()
        if name not in suspects and len(suspects) >= _MOST_SUSPECTS:
            del suspects[next(iter(suspects))]
        suspect = suspects.setdefault(name, _Suspect())
        hold = max(0.0, suspect.held_until - suspect.crashed_at)
        if now - max(suspect.crashed_at, suspect.held_until) > _WINDOW_SECONDS:
            suspect.num_crashes, hold = 0, 0.0
        suspect.num_crashes += 1
        suspect.crashed_at = now
        if suspect.num_crashes > num_free:
            hold = min(_MOST_HOLD_SECONDS, max(_HOLD_SECONDS, 2 * hold))
            suspect.held_until = now + hold
        return suspect.num_crashes > num_free

"""Which calls ended the serving process: those that took what it ran out of, where it is known."""

import math
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from app.serving.crash import Use

_CRASHES = frozenset({signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})
_LEAST_SECONDS = 0.05  # in the kernel: it clears some 100 MiB in this time
_SHARE = 0.5  # of what the greediest call took; of the time in which the process did not answer


@dataclass(eq=False)
class Call:
    """An outstanding call.

    Attributes:
        name: What is held back if the call ends the process.
        tenant: Tenant that waits for the answer.
        began: Time of its start.
        most_seconds: Time after which it is stopped.
        is_wanted: Whether somebody still waits for the answer.
        number: Number of its frame.
        stopped_at: Time at which it was asked to stop.
    """

    name: str
    tenant: str
    began: float
    most_seconds: float
    is_wanted: Callable[[], bool] | None = None
    number: int = 0
    stopped_at: float = math.inf


@dataclass(frozen=True)
class Ending:
    """How a process ended.

    Attributes:
        reason: Why the API killed it; empty: it did not.
        at: Time of the end.
        silent_since: Time of the ping that it did not answer; infinite: it answered all.
        uses: What the threads of its calls had used, by number, before it was killed.
        code: Exit code; negative: the signal.
        crashed: The call whose thread crashed, if known.
    """

    reason: str
    at: float
    silent_since: float = math.inf
    uses: Mapping[int, Use] = field(default_factory=dict)
    code: int = 0
    crashed: int | None = None


def guilty_calls(calls: Sequence[Call], ending: Ending) -> tuple[list[Call], bool]:
    """Return the calls that may have ended a process, and whether that is certain.

    A kill or a freeze comes from outside: no call is guilty.
    """
    if ending.reason == "stuck":
        return [call for call in calls if ending.at - call.began > call.most_seconds], False
    if ending.reason == "outgrown":
        return _greedy(calls, ending.uses)
    if ending.reason == "deaf":
        return _busy(calls, ending)
    if -ending.code in _CRASHES:
        found = [call for call in calls if call.number == ending.crashed]
        return found or list(calls), bool(found)
    return [], False


def _greedy(calls: Sequence[Call], uses: Mapping[int, Use]) -> tuple[list[Call], bool]:
    """Return the calls for which the kernel cleared the most memory; all if nothing is known."""
    if not uses:
        return list(calls), False
    spent = {call: uses[call.number].system_seconds for call in calls if call.number in uses}
    least = max(_LEAST_SECONDS, _SHARE * max(spent.values(), default=0.0))
    found = [call for call, seconds in spent.items() if seconds >= least]
    return found, len(found) == 1


def _busy(calls: Sequence[Call], ending: Ending) -> tuple[list[Call], bool]:
    """Return the calls that computed while the process did not answer; others waited for them."""
    calls = [call for call in calls if call.began <= ending.silent_since]
    least = _SHARE * (ending.at - ending.silent_since)
    found = [
        call
        for call in calls
        if call.number in ending.uses and sum(ending.uses[call.number]) >= least
    ]
    return found or calls, len(found) == 1

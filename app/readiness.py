"""Whether this process should get requests.

The database and the serving process are necessary. The queue and the store are not, once they have
been reached: without them jobs are accepted and models in memory are served, so a process that lost
them stays in the balancer. Before that they are, because settings that never worked are a mistake.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any

import structlog

from app.contracts.errors import UnavailableError

log = structlog.get_logger(__name__)

Check = Callable[[], None]

OK, AWAY = "ok", "away"
_DISPENSABLE_SECONDS = 2.0  # a part that takes longer counts as away


class Readiness:
    """Checks of the parts of a process.

    Args:
        necessary: Parts without which nothing can be answered.
        dispensable: Parts without which much can be answered.
    """

    def __init__(self, necessary: Mapping[str, Check], dispensable: Mapping[str, Check]) -> None:
        self._necessary = dict(necessary)
        self._dispensable = {name: _Patient(check) for name, check in dispensable.items()}
        self._were_there: set[str] = set()
        self._are_away: set[str] = set()  # already in the log

    def look_ahead(self) -> None:
        """Ask the dispensable parts in the background, so that it is known whether they work."""

        def look() -> None:
            with suppress(UnavailableError):
                self._look()

        threading.Thread(target=look, daemon=True).start()

    def check(self) -> dict[str, str]:
        """Return the state of each part.

        Raises:
            UnavailableError: A necessary part does not answer, or another has never answered.
        """
        found = {name: self._ask(name, check) for name, check in self._necessary.items()}
        found |= self._look()
        status = "degraded" if AWAY in found.values() else OK
        return {"status": status, **found}

    def _look(self) -> dict[str, str]:
        running = {name: check.begin() for name, check in self._dispensable.items()}
        wait(running.values(), _DISPENSABLE_SECONDS)  # together: a probe does not wait long
        return {name: self._note(name, future) for name, future in running.items()}

    @staticmethod
    def _ask(name: str, check: Check) -> str:
        try:
            check()
        except Exception as error:
            log.exception("readiness.failed", part=name)
            reason = error.message if isinstance(error, UnavailableError) else _cannot(name)
            raise UnavailableError(reason) from error
        return OK

    def _note(self, name: str, running: "Future[None]") -> str:
        try:
            running.result(0)  # a TimeoutError if it hangs
        except Exception as error:
            if name not in self._were_there:
                log.exception("readiness.failed", part=name)
                raise UnavailableError(_cannot(name)) from error
            if name not in self._are_away:
                log.warning("readiness.degraded", part=name, reason=str(error) or "no answer")
            self._are_away.add(name)
            return AWAY
        if name in self._are_away:
            log.info("readiness.restored", part=name)
        self._are_away.discard(name)
        self._were_there.add(name)
        return OK


class _Patient:
    """A check that may hang; only one call of it runs at a time."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._running: Future[None] | None = None

    def begin(self) -> "Future[None]":
        """Start the check if it does not run."""
        running = self._running
        if running is None or running.done():
            running = self._running = Future()
            threading.Thread(target=self._run, args=(running,), daemon=True).start()
        return running

    def _run(self, running: "Future[Any]") -> None:
        try:
            self._check()
        except BaseException as error:  # noqa: BLE001  # raised again by `result`
            running.set_exception(error)
        else:
            running.set_result(None)


def _cannot(name: str) -> str:
    return f"the {name.replace('_', ' ')} cannot be reached"

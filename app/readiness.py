"""Whether this process should get requests.

The database and the serving process are necessary. The queue and the store are not, once they have
been reached: without them jobs are accepted and models in memory are served, so a process that lost
them stays in the balancer. Before that they are, because settings that never worked are a mistake.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
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

    def look_ahead(self) -> None:
        """Ask the dispensable parts in the background, so that it is known whether they work."""
        threading.Thread(target=self._look, daemon=True).start()

    def check(self) -> dict[str, str]:
        """Return the state of each part.

        Raises:
            UnavailableError: A necessary part does not answer, or another has never answered.
        """
        found = {name: self._ask(name, check) for name, check in self._necessary.items()}
        for name, check in self._dispensable.items():
            found[name] = self._ask_patiently(name, check)
        status = "degraded" if AWAY in found.values() else OK
        return {"status": status, **found}

    def _look(self) -> None:
        for name, check in self._dispensable.items():
            with suppress(UnavailableError):
                self._ask_patiently(name, check)

    @staticmethod
    def _ask(name: str, check: Check) -> str:
        try:
            check()
        except Exception as error:
            log.exception("readiness.failed", part=name)
            reason = error.message if isinstance(error, UnavailableError) else _cannot(name)
            raise UnavailableError(reason) from error
        return OK

    def _ask_patiently(self, name: str, check: "_Patient") -> str:
        try:
            check.ask(_DISPENSABLE_SECONDS)
        except Exception as error:
            if name not in self._were_there:
                log.exception("readiness.failed", part=name)
                raise UnavailableError(_cannot(name)) from error
            log.warning("readiness.degraded", part=name, reason=str(error))
            return AWAY
        self._were_there.add(name)
        return OK


class _Patient:
    """A check that may hang; only one call of it runs at a time."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self._running: Future[None] | None = None

    def ask(self, seconds: float) -> None:
        """Run the check, or wait for the one that runs.

        Raises:
            TimeoutError: It takes longer than ``seconds``.
            Exception: What the check raises.
        """
        running = self._running
        if running is None or running.done():
            running = self._running = Future()
            threading.Thread(target=self._run, args=(running,), daemon=True).start()
        if not wait_for([running], seconds).done:
            raise TimeoutError(f"no answer in {seconds:g} s")
        running.result()

    def _run(self, running: "Future[Any]") -> None:
        try:
            self._check()
        except BaseException as error:  # noqa: BLE001  # raised again by `result`
            running.set_exception(error)
        else:
            running.set_result(None)


def _cannot(name: str) -> str:
    return f"the {name.replace('_', ' ')} cannot be reached"

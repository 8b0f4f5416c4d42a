"""Readiness: what takes a process out of the balancer, and what does not."""

import threading
import time
from functools import partial

import pytest
from structlog.testing import capture_logs

from app.contracts.errors import UnavailableError
from app.readiness import Readiness


class Part:
    def __init__(self) -> None:
        self.error: Exception | None = None

    def check(self) -> None:
        if self.error is not None:
            raise self.error


def test_a_queue_that_blinks_degrades_and_comes_back() -> None:
    database, queue = Part(), Part()
    readiness = Readiness({"database": database.check}, {"queue": queue.check})
    assert readiness.check() == {"status": "ok", "database": "ok", "queue": "ok"}
    queue.error = ConnectionError("refused")
    assert readiness.check() == {"status": "degraded", "database": "ok", "queue": "away"}
    queue.error = None
    assert readiness.check()["status"] == "ok"


def test_without_the_database_nothing_is_ready() -> None:
    database = Part()
    readiness = Readiness({"database": database.check}, {})
    readiness.check()
    database.error = ConnectionError("refused")
    with pytest.raises(UnavailableError, match="the database cannot be reached"):
        readiness.check()


def test_a_part_that_was_never_reached_is_a_mistake_of_the_settings() -> None:
    store = Part()
    store.error = ConnectionError("refused")
    readiness = Readiness({}, {"storage": store.check})
    with pytest.raises(UnavailableError, match="the storage cannot be reached"):
        readiness.check()


def test_what_worked_at_the_start_is_known_although_nobody_asked() -> None:
    store, was_asked = Part(), threading.Event()

    def check() -> None:
        store.check()
        was_asked.set()

    readiness = Readiness({}, {"storage": check})
    readiness.look_ahead()
    assert was_asked.wait(10)
    while "storage" not in readiness._were_there:
        pass
    store.error = ConnectionError("refused")
    assert readiness.check() == {"status": "degraded", "storage": "away"}


def test_a_part_that_hangs_counts_as_away_and_is_asked_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.readiness._DISPENSABLE_SECONDS", 0.01)
    goes_on, num_calls = threading.Event(), 0

    def check() -> None:
        nonlocal num_calls
        num_calls += 1
        if num_calls > 1:
            goes_on.wait(10)

    readiness = Readiness({}, {"storage": check})
    readiness.check()
    for _ in range(3):
        assert readiness.check()["storage"] == "away"
    assert num_calls == 2, "calls that hang do not pile up"
    goes_on.set()


def test_an_outage_is_logged_when_it_begins_and_when_it_ends() -> None:
    queue = Part()
    readiness = Readiness({}, {"queue": queue.check})
    readiness.check()
    queue.error = ConnectionError("refused")
    with capture_logs() as lines:
        for _ in range(3):
            readiness.check()
        queue.error = None
        for _ in range(3):
            readiness.check()
    assert [line["event"] for line in lines] == ["readiness.degraded", "readiness.restored"]


def test_parts_that_hang_are_waited_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.readiness._DISPENSABLE_SECONDS", 0.2)
    goes_on = threading.Event()
    num_calls = {"a": 0, "b": 0}

    def hang(name: str) -> None:
        num_calls[name] += 1
        if num_calls[name] > 1:
            goes_on.wait(10)

    readiness = Readiness({}, {name: partial(hang, name) for name in num_calls})
    readiness.check()
    began = time.monotonic()
    assert readiness.check() == {"status": "degraded", "a": "away", "b": "away"}
    assert time.monotonic() - began < 0.35
    goes_on.set()

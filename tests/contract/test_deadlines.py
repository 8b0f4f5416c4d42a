"""Deadlines of PostgreSQL connections: a silent server or a lost client does not block others."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from app.objects.lock import create_object_lock
from app.records import deadlines
from app.records.database import create_database, create_sessions
from app.records.deadlines import set_deadline
from tests.fixtures.databases import migrate
from tests.fixtures.services import fresh_postgresql_url

SECONDS = 1.0


@pytest.fixture
def engine(postgresql_server: str) -> Iterator[Engine]:
    url = fresh_postgresql_url(postgresql_server)
    patient = create_database(url)  # migrations may pause for longer on a busy machine
    migrate(patient)
    patient.dispose()
    engine = create_database(url, pool_size=1, transaction_seconds=SECONDS)
    yield engine
    engine.dispose()


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a server process: its connection stays open, and silent."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def process_of(connection: Any) -> int:
    return int(connection.scalar(text("SELECT pg_backend_pid()")))


@pytest.mark.timeout(30)
def test_a_statement_on_a_silent_connection_fails(engine: Engine) -> None:
    sessions = create_sessions(engine)
    session = sessions()
    with frozen(process_of(session)):
        with pytest.raises(OperationalError):
            session.execute(text("SELECT 1"))
        session.close()
        with sessions() as other:
            assert other.scalar(text("SELECT 1")) == 1


@pytest.mark.timeout(30)
def test_a_commit_on_a_silent_connection_fails(engine: Engine) -> None:
    session = create_sessions(engine)()
    with frozen(process_of(session)):
        with pytest.raises(OperationalError):
            session.commit()
        session.close()


@pytest.mark.timeout(30)
def test_a_connection_that_fell_silent_in_the_pool_is_replaced(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "PING_SECONDS", SECONDS)
    with engine.connect() as connection:
        pid = process_of(connection)
    with frozen(pid), engine.connect() as connection:
        assert process_of(connection) != pid


@pytest.mark.timeout(30)
def test_the_server_ends_the_transaction_of_a_client_that_vanished(engine: Engine) -> None:
    with engine.connect() as vanished:
        set_deadline(vanished, None)  # its own watch vanished with it
        vanished.execute(text("LOCK TABLE job"))
        began = time.monotonic()
        patient = create_database(engine.url.render_as_string(hide_password=False))
        with patient.connect() as other:
            other.execute(text("LOCK TABLE job"))
        patient.dispose()
        assert time.monotonic() - began < 20
        vanished.invalidate()


def test_the_object_lock_may_be_held_longer(engine: Engine) -> None:
    with create_object_lock(engine).shared():
        time.sleep(2 * SECONDS)


def test_the_thread_watches_again_after_a_pause(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deadlines, "_IDLE_SECONDS", 0.0)
    before = threading.active_count()
    while threading.active_count() >= before:  # the thread of the fixture's migration
        time.sleep(0.05)
    session = create_sessions(engine)()
    with frozen(process_of(session)), pytest.raises(OperationalError):
        session.execute(text("SELECT 1"))
    session.close()

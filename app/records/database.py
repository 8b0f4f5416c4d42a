"""Engines, sessions and the database's clock, for SQLite and PostgreSQL.

A session is one transaction: ``with sessions.begin() as session``. No session stays open while
tensors or files are processed. SQLite runs in WAL mode and takes its write lock when a transaction
starts, so that concurrent writers wait instead of failing halfway.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Double, Engine, create_engine, event, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from app.records.deadlines import Deadlines

Sessions = sessionmaker[Session]

BUSY_TIMEOUT_SECONDS = 30
TRANSACTION_SECONDS = 30.0
# Detect a lost server, or a lost client, within seconds instead of waiting for TCP to give up.
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
_USER_TIMEOUT = 15_000  # milliseconds


class database_now(FunctionElement[float]):  # noqa: N801  # reads as a SQL function
    """The database's clock: seconds since the epoch, with fractions."""

    type = Double()
    inherit_cache = True


@compiles(database_now, "sqlite")
def _sqlite_now(_element: database_now, _compiler: SQLCompiler, **_: Any) -> str:  # noqa: ANN401
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(database_now, "postgresql")
def _postgresql_now(_element: database_now, _compiler: SQLCompiler, **_: Any) -> str:  # noqa: ANN401
    return "(EXTRACT(EPOCH FROM clock_timestamp())::double precision)"


@contextmanager
def reading(sessions: Sessions) -> Iterator[Session]:
    """Open a read-only transaction; on SQLite it neither waits for writers nor blocks them."""
    with sessions() as session:
        session.connection(execution_options={"is_read_only": True})
        yield session


def current_time(session: Session) -> float:
    """Return the database's time: seconds since the epoch."""
    now = session.scalar(select(database_now()))
    assert now is not None  # noqa: S101  # never None
    return float(now)


def create_database(
    url: str, *, pool_size: int = 10, transaction_seconds: float = TRANSACTION_SECONDS
) -> Engine:
    """Return an engine for ``url`` (``sqlite:///…`` or ``postgresql+psycopg://…``).

    Errors hide parameters, because a webhook's secret would otherwise appear in the log.

    Args:
        url: The database's URL.
        pool_size: Connections to PostgreSQL that stay open.
        transaction_seconds: The longest transaction on PostgreSQL (`deadlines`). The server ends
            the transaction of a client that has vanished after the same time.
    """
    if url.startswith("sqlite"):
        engine = create_engine(
            url, connect_args={"timeout": BUSY_TIMEOUT_SECONDS}, hide_parameters=True
        )
        event.listen(engine, "do_connect", _create_privately)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if url.startswith("postgresql://"):
        url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(
        url,
        connect_args=_postgresql_timeouts(transaction_seconds),
        pool_size=pool_size,
        hide_parameters=True,
    )
    Deadlines(engine, transaction_seconds)
    return engine


def create_sessions(engine: Engine) -> Sessions:
    """Return a session factory; rows stay readable after commit."""
    return sessionmaker(engine, expire_on_commit=False)


def _postgresql_timeouts(transaction_seconds: float) -> dict[str, Any]:
    milliseconds = round(transaction_seconds * 1000)
    of_server = {
        "statement_timeout": milliseconds,
        "idle_in_transaction_session_timeout": milliseconds,
        "tcp_user_timeout": _USER_TIMEOUT,
        **{f"tcp_{name}": value for name, value in _KEEPALIVES.items()},
    }
    return {
        "connect_timeout": 5,  # seconds
        "tcp_user_timeout": _USER_TIMEOUT,
        **_KEEPALIVES,
        "options": " ".join(f"-c {name}={value}" for name, value in of_server.items()),
    }


def _create_privately(
    _dialect: object,
    _record: object,
    arguments: list[Any],
    _options: object,
) -> None:
    """Create a missing SQLite file readable by its owner only: it has the webhooks' secrets.

    SQLite gives its log and its index the same rights.
    """
    path = Path(arguments[0])
    if path.is_absolute() and not path.exists():
        with suppress(OSError):  # SQLite has the better message
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _prepare_sqlite(connection: Any, _record: object) -> None:  # noqa: ANN401  # DBAPI
    # The driver's own BEGIN is switched off, or it would start transactions late (SQLAlchemy docs).
    connection.isolation_level = None
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Any) -> None:  # noqa: ANN401  # SQLAlchemy event
    read_only = connection.get_execution_options().get("is_read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

"""Migrations: `upgrade` brings a database to the schema of this version."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import IntegrityError

from app.records.deadlines import set_deadline

_FOLDER = Path(__file__).parent
_LOCK_KEY = 0x5EC47E42  # any number that only migrations of this service use


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Run the migrations up to ``revision``, all of them or none. Repeating it is harmless.

    Raises:
        IntegrityError: A migration left rows that refer to missing rows (SQLite).
    """
    with _migrating(engine) as connection:
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Run the migrations down to ``revision``, all of them or none.

    Raises:
        IntegrityError: A migration left rows that refer to missing rows (SQLite).
    """
    with _migrating(engine) as connection:
        command.downgrade(_config(connection), revision)


def current_revision(connection: Connection) -> str | None:
    """Return the schema revision of a database; None for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def newest_revision() -> str:
    """Return the revision that this version needs."""
    head = ScriptDirectory(str(_FOLDER)).get_current_head()
    assert head is not None  # noqa: S101  # there is at least one migration
    return head


def find_missing_revision(connection: Connection) -> str | None:
    """Return the revision that this version needs and a database lacks, or None.

    A newer schema is fine: migrations add columns and tables that an earlier version ignores.
    """
    current, scripts = current_revision(connection), ScriptDirectory(str(_FOLDER))
    known = {script.revision for script in scripts.walk_revisions()}
    newest = newest_revision()
    return newest if current is None or (current in known and current != newest) else None


@contextmanager
def _migrating(engine: Engine) -> Iterator[Connection]:
    """Open the transaction of a migration; others that migrate at the same time wait for it."""
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            with _without_foreign_keys(connection), connection.begin():
                yield connection
                _check_foreign_keys(connection)
            return
        with connection.begin():
            # An index on a large table takes minutes: lift the limits of `database`.
            set_deadline(connection, None)
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            yield connection


@contextmanager
def _without_foreign_keys(connection: Connection) -> Iterator[None]:
    """Suspend SQLite's foreign keys.

    SQLite changes a table by copying it and dropping the original, which foreign keys forbid while
    rows refer to it. The pragma has no effect inside a transaction, hence the driver's connection.
    """
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101  # the connection is open
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _check_foreign_keys(connection: Connection) -> None:
    broken = connection.execute(text("PRAGMA foreign_key_check")).fetchall()
    if broken:
        tables = ", ".join(sorted({str(row[0]) for row in broken}))
        raise IntegrityError(
            "PRAGMA foreign_key_check", None, ValueError(f"rows without their parents in {tables}")
        )


def _config(connection: object) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    return config

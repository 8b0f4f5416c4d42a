"""Migrations with rows in every table keep all rows, from and to every revision."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Engine,
    MetaData,
    String,
    Table,
    Text,
    func,
    inspect,
    select,
    text,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateIndex, CreateTable

from app.records import migrations
from app.records.database import create_database
from app.records.migrations import current_revision, downgrade, newest_revision, upgrade
from tests.fixtures.databases import migrate

COMMAND = Path(sys.executable).with_name("secateur")
REVISIONS = sorted(
    script.revision
    for script in ScriptDirectory(str(Path(migrations.__file__).parent)).walk_revisions()
)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = create_database(database_url)
    yield engine
    engine.dispose()


def value_of(column: Column[Any], row: str) -> object:
    """Return a value that the column accepts."""
    if isinstance(column.type, JSON):
        return {}
    if isinstance(column.type, String | Text):
        return f"{row}-{column.table.name}"[:200]
    return 1


def fill(connection: Connection) -> dict[str, int]:
    """Insert two rows into every table, the second refers to the first; return their numbers."""
    metadata = MetaData()
    metadata.reflect(connection)
    for row in ("a", "b"):
        for table in metadata.sorted_tables:
            if table.name != "alembic_version":
                connection.execute(table.insert().values(values_of(table, row)))
    return count(connection)


def values_of(table: Table, row: str) -> dict[str, object]:
    values: dict[str, object] = {}
    for column in table.columns:
        parents = [key.column.table.name for key in column.foreign_keys]
        if parents == [table.name]:
            values[column.name] = None if row == "a" else f"a-{table.name}"
        elif parents:
            values[column.name] = f"{row}-{parents[0]}"
        elif column.primary_key and not isinstance(column.type, String):
            values[column.name] = 1 if row == "a" else 2
        else:
            values[column.name] = value_of(column, row)
    return values


def count(connection: Connection) -> dict[str, int]:
    metadata = MetaData()
    metadata.reflect(connection)
    return {
        table.name: connection.scalar(select(func.count()).select_from(table)) or 0
        for table in metadata.sorted_tables
        if table.name != "alembic_version"
    }


def schema(engine: Engine) -> list[list[str]]:
    """Return the lines that create each table and index; then drop all of them."""
    metadata = MetaData()
    metadata.reflect(engine)
    tables = metadata.sorted_tables
    indexes = sorted((i for table in tables for i in table.indexes), key=lambda i: str(i.name))
    made = [str(CreateTable(table).compile(engine)) for table in tables]
    made += [str(CreateIndex(index).compile(engine)) for index in indexes]
    metadata.drop_all(engine)
    # Sorted: a migration that copies a table on SQLite writes its foreign keys in any order.
    return [sorted(line.strip("\t ,") for line in text.splitlines()) for text in made]


def test_databases_of_other_tests_have_the_schema_of_the_migrations(engine: Engine) -> None:
    upgrade(engine)
    migrated = schema(engine)
    for _ in range(2):  # the first may record, the second repeats
        migrate(engine)
        with engine.connect() as connection:
            assert current_revision(connection) == newest_revision()
        assert schema(engine) == migrated


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_of_every_revision_survive_the_upgrade_and_the_way_back(
    engine: Engine, revision: str
) -> None:
    upgrade(engine, revision)
    with engine.begin() as connection:
        before = fill(connection)
    assert set(before.values()) == {2}
    upgrade(engine)
    with engine.connect() as connection:
        assert before.items() <= count(connection).items()
        assert current_revision(connection) == newest_revision()
    downgrade(engine, revision)
    with engine.connect() as connection:
        assert count(connection) == before
        assert current_revision(connection) == revision


def test_foreign_keys_hold_after_a_migration(engine: Engine) -> None:
    upgrade(engine, REVISIONS[0])
    with engine.begin() as connection:
        fill(connection)
    upgrade(engine)
    with engine.begin() as connection, pytest.raises(IntegrityError):
        connection.execute(text("DELETE FROM job"))


def test_a_migration_that_leaves_orphans_changes_nothing(tmp_path: Path) -> None:
    engine = create_database(f"sqlite:///{tmp_path / 'test.db'}")
    upgrade(engine, "0002")
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        driver.execute("PRAGMA foreign_keys=OFF")
        with connection.begin():
            fill(connection)
            connection.execute(text("DELETE FROM job WHERE id = 'a-job'"))
        driver.execute("PRAGMA foreign_keys=ON")
    with pytest.raises(IntegrityError, match="artifact, event"):
        upgrade(engine)
    with engine.connect() as connection:
        assert current_revision(connection) == "0002"
        assert "sweep" not in inspect(connection).get_table_names()
    engine.dispose()


def test_two_processes_may_migrate_at_once(database_url: str) -> None:
    failures: list[BaseException] = []

    def migrate() -> None:
        engine = create_database(database_url)
        try:
            upgrade(engine)
        except Exception as error:  # noqa: BLE001  # reported below
            failures.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=migrate) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def migrate_by_command(**environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(COMMAND), "migrate"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_command_creates_the_folder_of_the_database(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    done = migrate_by_command(SECATEUR_DATA_DIR=str(folder))
    assert (done.returncode, done.stdout) == (0, "The database is up to date.\n"), done.stderr
    assert folder.stat().st_mode & 0o077 == 0


def test_a_setting_that_does_not_exist_is_one_line() -> None:
    done = migrate_by_command(SECATEUR_DATABASE_URL="sqlite:///x.db")
    line = "secateur: SECATEUR_DATABASE_URL is not a setting of Secateur; see docs/settings.md\n"
    assert (done.returncode, done.stderr) == (1, line)

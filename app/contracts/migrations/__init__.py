"""Migrations: `upgrade` brings a database to the tables this version needs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, text

_FOLDER = Path(__file__).parent


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Run the migrations up to ``revision``; doing it twice is harmless."""
    with engine.begin() as connection:
        _take_time(connection)
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Run the migrations down to ``revision``."""
    with engine.begin() as connection:
        _take_time(connection)
        command.downgrade(_config(connection), revision)


def _take_time(connection: Connection) -> None:
    """Lift the limit on statements (`database`): an index on a large table takes minutes."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))


def _config(connection: object) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    return config

"""Migrations: `upgrade` brings a database to the tables this version needs."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Engine

_FOLDER = Path(__file__).parent


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Run the migrations up to ``revision``; doing it twice is harmless."""
    with engine.begin() as connection:
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str = "base") -> None:
    """Run the migrations down to ``revision``."""
    with engine.begin() as connection:
        command.downgrade(_config(connection), revision)


def _config(connection: object) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.attributes["connection"] = connection
    return config

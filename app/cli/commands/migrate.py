"""``secateur migrate``."""

import typer

from app.contracts.settings import load_settings
from app.records.database import create_database
from app.records.migrations import upgrade

app = typer.Typer(add_completion=False)


@app.command("migrate")
def migrate_command() -> None:
    """Upgrade the database schema to this version."""
    engine = create_database(load_settings().database_url)
    upgrade(engine)
    engine.dispose()
    typer.echo("The database is up to date.")

"""``secateur migrate``."""

from pathlib import Path

import typer

from app.cli.environment import settings_or_exit
from app.records.database import create_database
from app.records.migrations import upgrade

app = typer.Typer(add_completion=False)


@app.command("migrate")
def migrate_command() -> None:
    """Upgrade the database schema to this version."""
    engine = create_database(settings_or_exit().database_url)
    if engine.dialect.name == "sqlite" and engine.url.database:
        Path(engine.url.database).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    upgrade(engine)
    engine.dispose()
    typer.echo("The database is up to date.")

"""``secateur migrate``."""

import typer

from app.contracts.database import create_database
from app.contracts.migrations import upgrade
from app.contracts.settings import load_settings

app = typer.Typer(add_completion=False)


@app.command("migrate")
def migrate_command() -> None:
    """Bring the tables of the database in the settings up to date."""
    engine = create_database(load_settings().database_url)
    upgrade(engine)
    engine.dispose()
    typer.echo("The database is up to date.")

"""The entry point of the ``secateur`` command: one function a command, no work of its own."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli import keys
from app.cli.serve import ServeError, serve
from app.contracts.database import create_database, create_sessions
from app.contracts.garbage import ObjectCollector
from app.contracts.migrations import upgrade
from app.contracts.object_lock import create_object_lock
from app.contracts.settings import Settings, load_settings
from app.contracts.storage import open_store

app = typer.Typer(
    help="Prune convolutional networks behind a REST API.",
    no_args_is_help=True,
    add_completion=True,
)
app.add_typer(keys.app, name="keys")


@app.command("serve")
def serve_command(
    data_dir: Annotated[
        Path | None, typer.Option(help="Where rows, objects, queue and logs live.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")] = None,
) -> None:
    """Start API, workers, scheduler and queue on this machine, until Ctrl-C."""
    try:
        serve(_with_options(load_settings(), data_dir, host, port))
    except (ServeError, ValueError) as error:
        typer.secho(f"secateur: {error}", fg="red", err=True)
        raise typer.Exit(1) from error


@app.command("migrate")
def migrate_command() -> None:
    """Bring the tables of the database in the settings up to date."""
    engine = create_database(load_settings().database_url)
    upgrade(engine)
    engine.dispose()
    typer.echo("The database is up to date.")


@app.command("collect-garbage")
def collect_garbage_command(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,  # noqa: FBT002  # typer's way of a flag
) -> None:
    """Remove stored objects that nothing refers to; the scheduler has it done every hour."""
    settings = load_settings()
    engine = create_database(settings.database_url)
    sessions, lock = create_sessions(engine), create_object_lock(engine)
    store = open_store(settings.storage_url, settings.storage, lock.shared)
    collector = ObjectCollector(sessions, store, lock, settings.storage.orphan_seconds)
    collected = collector.collect(is_dry_run=dry_run)
    engine.dispose()
    verb = "Would remove" if dry_run else "Removed"
    typer.echo(
        f"{verb} {collected.num_removed} of {collected.num_objects} objects, "
        f"{collected.num_bytes_removed} of {collected.num_bytes} bytes; "
        f"{collected.num_young} are too young to be judged."
    )


def main() -> None:
    """Run the command line."""
    app()


def _with_options(
    settings: Settings, data_dir: Path | None, host: str | None, port: int | None
) -> Settings:
    api = {"host": host, "port": port}
    changed = settings.api.model_copy(update={k: v for k, v in api.items() if v is not None})
    update = {"api": changed, "data_dir": data_dir or settings.data_dir}
    return settings.model_copy(update=update)

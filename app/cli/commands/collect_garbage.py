"""``secateur collect-garbage``."""

from typing import Annotated

import typer

from app.cli.environment import settings_or_exit
from app.objects.garbage import ObjectCollector
from app.objects.lock import create_object_lock
from app.objects.storage import open_store
from app.records.database import create_database, create_sessions
from app.records.retention import remove_old

app = typer.Typer(add_completion=False)


@app.command("collect-garbage")
def collect_garbage_command(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be removed.")
    ] = False,
) -> None:
    """Remove old jobs and unreferenced stored objects. The scheduler does this every hour.

    What is old is defined by the settings RETENTION__….
    """
    settings = settings_or_exit()
    engine = create_database(settings.database_url)
    sessions, lock = create_sessions(engine), create_object_lock(engine)
    store = open_store(settings.storage_url, settings.storage, lock.shared)
    grace, undo = settings.storage.orphan_seconds, settings.retention.kept_deleted_seconds
    collector = ObjectCollector(sessions, store, lock, grace, undo)
    removed = remove_old(sessions, settings.retention, is_dry_run=dry_run)
    collected = collector.collect(is_dry_run=dry_run)
    engine.dispose()
    num_jobs = removed.num_jobs + removed.num_deleted_jobs
    verb = "Would remove" if dry_run else "Removed"
    typer.echo(
        f"{verb} {num_jobs} jobs, {removed.num_artifacts} files and {removed.num_events} "
        f"events of other jobs, {removed.num_idempotency_keys} idempotency keys."
    )
    typer.echo(
        f"{verb} {collected.num_removed} of {collected.num_objects} objects, "
        f"{collected.num_bytes_removed} of {collected.num_bytes} bytes; "
        f"{collected.num_young} are too recent to remove."
    )

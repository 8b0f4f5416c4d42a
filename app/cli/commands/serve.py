"""``secateur serve``."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.serve import ServeError, serve
from app.contracts.settings import Settings, load_settings

app = typer.Typer(add_completion=False)


@app.command("serve")
def serve_command(
    data_dir: Annotated[
        Path | None, typer.Option(help="Directory for database, objects, queue and logs.")
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 picks a free one.")] = None,
    *,
    no_worker: Annotated[
        bool, typer.Option("--no-worker", help="Run no jobs here; use workers elsewhere.")
    ] = False,
) -> None:
    """Run the API, workers, scheduler and queue on this machine until Ctrl-C."""
    try:
        serve(_with_options(load_settings(), data_dir, host, port), has_worker=not no_worker)
    except (ServeError, ValueError) as error:
        typer.secho(f"secateur: {error}", fg="red", err=True)
        raise typer.Exit(1) from error


def _with_options(
    settings: Settings, data_dir: Path | None, host: str | None, port: int | None
) -> Settings:
    api = {"host": host, "port": port}
    changed = settings.api.model_copy(update={k: v for k, v in api.items() if v is not None})
    update = {"api": changed, "data_dir": data_dir or settings.data_dir}
    return settings.model_copy(update=update)

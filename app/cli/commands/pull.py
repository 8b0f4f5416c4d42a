"""``secateur pull``."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.client import AsJson, JobId, Key, Url, resolve_job, service
from app.cli.output import print_json
from app.cli.progress import receiving

app = typer.Typer(add_completion=False)


@app.command("pull")
def pull_command(  # noqa: PLR0913  # the command's options
    job_id: JobId,
    *,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files; the job's id unless given.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="One file, such as model.onnx; once or more.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Download what a job made.

    Each file is checked against its SHA-256 and appears when it is whole; a download that was cut
    off goes on where it was. The paths go to standard output.
    """
    with service(url, key) as client:
        found = resolve_job(client, job_id)
        with receiving() as show:
            folder = out or Path(found)
            paths = client.download(found, folder, only, overwrite=force, on_progress=show)
    if as_json:
        print_json([str(path) for path in paths])
    else:
        for path in paths:
            typer.echo(path)

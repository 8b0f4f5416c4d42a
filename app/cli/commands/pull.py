"""``secateur pull``."""

from pathlib import Path
from typing import Annotated

import typer

from app.cli.client import AsJson, JobId, Key, Url, service
from app.cli.examples import examples
from app.cli.names import resolve_job
from app.cli.output import print_json, say
from app.cli.progress import receiving
from secateur import SecateurError
from secateur.core.downloads import safe_name

app = typer.Typer(add_completion=False)


@app.command(
    "pull",
    epilog=examples(
        "secateur pull latest --out pruned",
        "secateur pull half",
    ),
)
def pull_command(  # noqa: PLR0913  # the command's options
    job_id: JobId,
    *,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files. Default: the job's id.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Download only this file, such as model.onnx; repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Download the files of a finished job.

    Each file is checked against its SHA-256 and appears only when complete. An interrupted
    download resumes where it stopped. Prints the paths on standard output.
    """
    with service(url, key) as client:
        found = resolve_job(client, job_id)
        folder = out or Path(safe_name(found))
        if (job := client.get_job(found)).result is None:
            raise SecateurError(
                f"job {found} is {job.status} and has no files: secateur watch {found} shows why"
            )
        with receiving() as show:
            paths = client.download(found, folder, only, overwrite=force, on_progress=show)
    if as_json:
        print_json([str(path) for path in paths])
    else:
        for path in paths:
            say(path, is_result=True)

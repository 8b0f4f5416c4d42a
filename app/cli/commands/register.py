"""``secateur register``."""

import sys
from contextlib import redirect_stdout
from typing import Annotated

import typer

from app.cli.client import JobId, Key, Url, service
from app.cli.examples import examples
from app.cli.names import resolve_job
from app.cli.output import say

app = typer.Typer(add_completion=False)


@app.command(
    "register",
    epilog=examples(
        "secateur register latest shapes",
        "secateur register half shapes --alias candidate",
    ),
)
def register_command(
    job_id: JobId,
    name: Annotated[str, typer.Argument(help="Name of the registered model.", metavar="NAME")],
    *,
    alias: Annotated[
        str | None, typer.Option(help="Alias to point at the new version, such as champion.")
    ] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Register a finished job's network in MLflow, with its curves, report and origin.

    MLflow's own variables, such as MLFLOW_TRACKING_URI, say which server. Prints the new version
    on standard output.
    """
    from secateur.mlflow_registry import register  # noqa: PLC0415  # seldom needed

    with service(url, key) as client:
        job = client.get_job(resolve_job(client, job_id))
        with redirect_stdout(sys.stderr):  # MLflow prints links there
            version = register(job, name, alias=alias)
        say(version, is_result=True)

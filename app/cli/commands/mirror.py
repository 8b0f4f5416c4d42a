"""``secateur mirror``."""

import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from typing import Annotated

import typer

from app.cli.client import Key, Url, complete_jobs, reporting, service
from app.cli.examples import examples
from app.cli.names import resolve_job
from app.cli.output import say
from secateur import Client

app = typer.Typer(add_completion=False)


@app.command(
    "mirror",
    epilog=examples(
        "secateur mirror latest",
        "secateur mirror swp_01JD0000000000000000000000 --project shapes",
    ),
)
def mirror_command(
    jobs: Annotated[
        list[str],
        typer.Argument(
            help="Job ids or names, ids of sweeps, or `latest`.",
            metavar="JOB_OR_SWEEP...",
            autocompletion=complete_jobs,
        ),
    ],
    *,
    project: Annotated[str, typer.Option(help="Project in trackio.")] = "secateur",
    url: Url = None,
    key: Key = None,
) -> None:
    """Mirror jobs' curves and final figures in trackio until the jobs end.

    Jobs are mirrored one after the other. A job that was mirrored before is continued.
    `trackio show` opens trackio's dashboard.
    """
    from secateur.trackio_mirror import mirror  # noqa: PLC0415  # seldom needed

    with service(url, key) as client, reporting("the jobs are still running"):
        for job_id in list(_job_ids(client, jobs)):
            with redirect_stdout(sys.stderr):  # trackio prints hints there
                job = mirror(client.get_job(job_id), project)
            say(f"{job.id} {job.status}", is_result=True)


def _job_ids(client: Client, texts: list[str]) -> Iterator[str]:
    for text in texts:
        if text.startswith("swp_"):
            yield from (row.job for row in client.get_sweep(text).table)
        else:
            yield resolve_job(client, text)

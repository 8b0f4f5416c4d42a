"""``secateur watch``."""

import typer

from app.cli.client import AsJson, JobId, Key, Url, reporting, service
from app.cli.examples import examples
from app.cli.names import resolve_job
from app.cli.output import console, print_findings, print_json, print_verdict, result_table, say
from app.cli.progress import follow

app = typer.Typer(add_completion=False)


@app.command(
    "watch",
    epilog=examples(
        "secateur watch latest",
    ),
)
def watch_command(
    job_id: JobId, *, as_json: AsJson = False, url: Url = None, key: Key = None
) -> None:
    """Follow a job until it ends and show its result.

    Exits with 1 if the job does not succeed.
    """
    with service(url, key) as client:
        job = client.get_job(resolve_job(client, job_id))
        with reporting(f"{job.id} is still running"):
            job = follow(client, job)
    if as_json:
        print_json(job)
    elif job.result is not None:
        print_verdict(job.result)
        console().print(result_table(job.result))
        print_findings(job)
        for note in job.result.summary.notes:
            say(f"note: {note}", is_result=True)

"""``secateur example``."""

from typing import Annotated

import typer

from app.cli.client import AsJson, Key, Url, reporting, service
from app.cli.examples import examples
from app.cli.output import console, print_json, print_verdict, result_table, say
from app.cli.progress import follow

app = typer.Typer(add_completion=False)


@app.command("example", epilog=examples("secateur example --wait"))
def example_command(
    *,
    wait: Annotated[
        bool, typer.Option("--wait", "-w", help="Follow the job until it ends.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Prune a small network that comes with the service, in about a minute.

    Needs no files: the service has the network and draws its images. Prints the job's id on
    standard output.
    """
    with service(url, key) as client:
        job = client.try_example()
        if not as_json:
            say(job.id, is_result=True)
        if wait:
            with reporting(f"{job.id} is still running; to follow it: secateur watch {job.id}"):
                job = follow(client, job, already_shown=job.warnings)
            if job.result is not None:
                print_verdict(job.result)
                console(is_result=False).print(result_table(job.result))
        if as_json:
            print_json(job)

"""``secateur jobs``."""

from typing import Annotated

import typer

from app.cli.client import AsJson, JobId, Key, Url, resolve_job, service
from app.cli.output import console, job_table, print_json, say
from secateur import Job

app = typer.Typer(
    help="List jobs; show, pause, resume, retry or cancel one.",
    invoke_without_command=True,
    add_completion=False,
)

Limit = Annotated[int, typer.Option(min=1, help="Maximum number to list.")]


@app.callback()
def list_command(
    context: typer.Context,
    *,
    limit: Limit = 20,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """List jobs; show, pause, resume or cancel one."""
    if context.invoked_subcommand is not None:
        return
    with service(url, key) as client:
        jobs = client.jobs(limit)
    if as_json:
        print_json(jobs)
    else:
        console().print(job_table(jobs))


@app.command("show")
def show_command(
    job_id: JobId, *, as_json: AsJson = False, url: Url = None, key: Key = None
) -> None:
    """Show a job."""
    with service(url, key) as client:
        job = client.get_job(resolve_job(client, job_id))
    _show(job, is_json=as_json)


@app.command("pause")
def pause_command(
    job_id: JobId, *, as_json: AsJson = False, url: Url = None, key: Key = None
) -> None:
    """Pause a job: save its state and free its worker."""
    with service(url, key) as client:
        job = client.pause(resolve_job(client, job_id))
    _show(job, is_json=as_json)


@app.command("resume")
def resume_command(
    job_id: JobId, *, as_json: AsJson = False, url: Url = None, key: Key = None
) -> None:
    """Resume a paused job from its saved state."""
    with service(url, key) as client:
        job = client.resume(resolve_job(client, job_id))
    _show(job, is_json=as_json)


@app.command("retry")
def retry_command(
    job_id: JobId, *, as_json: AsJson = False, url: Url = None, key: Key = None
) -> None:
    """Try a failed job again, from its saved state if there is one."""
    with service(url, key) as client:
        job = client.retry(resolve_job(client, job_id))
    _show(job, is_json=as_json)


@app.command("cancel")
def cancel_command(
    job_id: JobId, *, as_json: AsJson = False, url: Url = None, key: Key = None
) -> None:
    """Cancel a job that has not ended."""
    with service(url, key) as client:
        job = client.cancel(resolve_job(client, job_id))
    _show(job, is_json=as_json)


def _show(job: Job, *, is_json: bool) -> None:
    if is_json:
        print_json(job)
        return
    console().print(job_table([job]))
    if job.error is not None:
        say(f"{job.error.code}: {job.error.message}", is_result=True)
        say(job.error.hint or "", is_result=True)

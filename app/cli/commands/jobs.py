"""``secateur jobs``."""

from contextlib import suppress
from typing import Annotated

import typer

from app.cli.client import AsJson, JobId, Key, Permanent, Url, service
from app.cli.examples import examples
from app.cli.names import resolve_job
from app.cli.output import comparison_table, console, job_table, print_json, say, share_table
from secateur import Client, Job, NotFoundError

app = typer.Typer(
    help="List, compare and label jobs; pause, cancel or delete one.",
    invoke_without_command=True,
    add_completion=False,
    epilog=examples(
        "secateur jobs --status succeeded --tag prod",
        "secateur jobs compare half latest",
        "secateur jobs label latest --name half --tag prod",
        "secateur jobs share half --days 1",
        "secateur jobs unshare LINK",
        "secateur jobs delete half",
    ),
)

_MOST_NAMED = 200  # the newest models; jobs of older ones show an id
Limit = Annotated[int, typer.Option(min=1, help="Maximum number to list.")]


@app.callback()
def list_command(  # noqa: PLR0913  # the command's options
    context: typer.Context,
    *,
    limit: Limit = 20,
    search: Annotated[
        str | None, typer.Option(help="Text in the name, a tag or the model's name.")
    ] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", help="Tag; repeatable.")] = None,
    statuses: Annotated[
        list[str] | None, typer.Option("--status", help="Status, such as succeeded; repeatable.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """List, compare and label jobs; pause, cancel or delete one."""
    if context.invoked_subcommand is not None:
        return
    with service(url, key) as client:
        jobs = client.jobs(limit, search=search, tags=tags or (), statuses=statuses or ())
        if as_json:
            print_json(jobs)
        else:
            console().print(job_table(jobs, model_names(client)))


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


@app.command("compare")
def compare_command(
    job_ids: Annotated[
        list[str],
        typer.Argument(help="Up to four jobs, by id or name.", metavar="JOB..."),
    ],
    *,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Compare jobs side by side: results, and where their configs differ."""
    with service(url, key) as client:
        found = client.compare_jobs([resolve_job(client, job_id) for job_id in job_ids])
    if as_json:
        print_json(found)
    else:
        console().print(comparison_table(found))


@app.command("label")
def label_command(
    job_id: JobId,
    *,
    name: Annotated[str | None, typer.Option(help="Name; an empty one removes it.")] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Tags in place of the old; repeatable.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Name or tag a job."""
    with service(url, key) as client:
        job = client.change_job(resolve_job(client, job_id), name=name, tags=tags)
    _show(job, is_json=as_json)


@app.command("share")
def share_command(
    job_id: JobId,
    *,
    days: Annotated[float, typer.Option(help="Days for which the link is valid.")] = 7,
    url: Url = None,
    key: Key = None,
) -> None:
    """Print a link that shows a job's report to anyone who has it, without a key."""
    with service(url, key) as client:
        typer.echo(client.share_report(resolve_job(client, job_id), days=days))


@app.command("shares")
def shares_command(
    job_id: Annotated[
        str | None, typer.Argument(help="Only links of this job.", metavar="JOB")
    ] = None,
    *,
    limit: Limit = 20,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """List links to reports, without their secrets."""
    with service(url, key) as client:
        found = client.shares(None if job_id is None else resolve_job(client, job_id), limit)
    if as_json:
        print_json(found)
    else:
        console().print(share_table(found))


@app.command("unshare")
def unshare_command(
    links: Annotated[list[str], typer.Argument(help="Links, or their ids.", metavar="LINK...")],
    *,
    url: Url = None,
    key: Key = None,
) -> None:
    """Revoke links to reports, at once and for good."""
    with service(url, key) as client:
        for link in links:
            found = client.revoke_share(_share_id(link))
            say(f"Revoked {found.id}, a link to the report of {found.job}.")


@app.command("delete")
def delete_command(
    job_id: JobId, *, permanent: Permanent = False, url: Url = None, key: Key = None
) -> None:
    """Delete an ended job; the model that it made stays. `restore` undoes it for a time."""
    with service(url, key) as client:
        found = resolve_job(client, job_id)
        client.delete_job(found, permanent=permanent)
    undo = "" if permanent else f" To undo: secateur jobs restore {found}"
    say(f"Deleted {found}.{undo}")


@app.command("restore")
def restore_command(
    job_id: Annotated[str, typer.Argument(help="Job id.", metavar="JOB")],
    *,
    url: Url = None,
    key: Key = None,
) -> None:
    """Undo the deletion of a job, by its id."""
    with service(url, key) as client:
        with suppress(NotFoundError):
            say(f"{client.get_job(job_id).id} is not deleted; nothing was restored.")
            return
        job = client.restore_job(job_id)
    say(f"Restored {job.id}.")


def model_names(client: Client) -> dict[str, str]:
    """Return the names of the newest models by id, with their version."""
    return {m.id: f"{m.name}@{m.version}" for m in client.models(_MOST_NAMED)}


def _share_id(link: str) -> str:
    """Return the id of a link, which is the part before its secret."""
    return "_".join(link.rpartition("/")[2].split("_")[:2])


def _show(job: Job, *, is_json: bool) -> None:
    if is_json:
        print_json(job)
        return
    console().print(job_table([job]))
    if job.error is not None:
        say(f"{job.error.code}: {job.error.message}", is_result=True)
        say(job.error.hint or "", is_result=True)

"""``secateur datasets``."""

from typing import Annotated

import typer

from app.cli.client import AsJson, Key, Permanent, Url, service
from app.cli.names import resolve_dataset
from app.cli.output import console, dataset_table, print_json, say, summary_table

_HELP = "List data sets; show, rename, delete or restore one."

app = typer.Typer(help=_HELP, invoke_without_command=True, add_completion=False)

DatasetId = Annotated[str, typer.Argument(help="Data set id, name or `latest`.", metavar="DATA")]
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
    """List data sets; show, rename, delete or restore one."""
    if context.invoked_subcommand is not None:
        return
    with service(url, key) as client:
        datasets = client.datasets(limit)
    if as_json:
        print_json(datasets)
    else:
        console().print(dataset_table(datasets))


@app.command("show")
def show_command(
    dataset_id: DatasetId, *, as_json: AsJson = False, url: Url = None, key: Key = None
) -> None:
    """Show a data set's samples, classes and splits."""
    with service(url, key) as client:
        dataset = client.get_dataset(resolve_dataset(client, dataset_id))
    if as_json:
        print_json(dataset)
        return
    console().print(dataset_table([dataset]))
    if dataset.error is not None:
        say(f"{dataset.error.code}: {dataset.error.message}", is_result=True)
    elif dataset.summary is not None:
        for note in dataset.warnings:
            say(f"note: {note}", colour="yellow")
        console().print(summary_table(dataset.summary))


@app.command("delete")
def delete_command(
    dataset_id: DatasetId, *, permanent: Permanent = False, url: Url = None, key: Key = None
) -> None:
    """Delete a data set that no live job uses; `restore` undoes it for a time."""
    with service(url, key) as client:
        found = client.get_dataset(dataset_id)
        client.delete_dataset(found, permanent=permanent)
    undo = "" if permanent else f" To undo: secateur datasets restore {found.id}"
    say(f"Deleted {found.name}.{undo}")


@app.command("restore")
def restore_command(dataset_id: DatasetId, *, url: Url = None, key: Key = None) -> None:
    """Undo the deletion of a data set, by its id."""
    with service(url, key) as client:
        found = client.restore_dataset(dataset_id)
    say(f"Restored {found.name}.")


@app.command("rename")
def rename_command(
    dataset_id: DatasetId,
    name: Annotated[str, typer.Argument(help="New name.")],
    *,
    url: Url = None,
    key: Key = None,
) -> None:
    """Rename a data set."""
    with service(url, key) as client:
        found = client.rename_dataset(dataset_id, name)
    say(found.name, is_result=True)

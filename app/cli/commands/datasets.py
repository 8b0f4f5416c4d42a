"""``secateur datasets``."""

from typing import Annotated

import typer

from app.cli.client import AsJson, Key, Url, service
from app.cli.names import resolve_dataset
from app.cli.output import console, dataset_table, print_json, say, summary_table
from app.cli.stored_commands import Kind, stored_app
from secateur import Client

_REFERENCE = "Data set id, name or `latest`."

app = stored_app(
    Kind(
        command="datasets",
        help="List data sets; show, rename, delete or restore one.",
        noun="a data set",
        metavar="DATA",
        reference=_REFERENCE,
        items=Client.datasets,
        get=Client.get_dataset,
        delete=Client.delete_dataset,
        restore=Client.restore_dataset,
        table=dataset_table,
    )
)

DatasetId = Annotated[str, typer.Argument(help=_REFERENCE, metavar="DATA")]


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

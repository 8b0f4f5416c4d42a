"""``secateur models``."""

from typing import Annotated

import typer

from app.cli.client import AsJson, Key, Permanent, Url, service
from app.cli.names import resolve_model
from app.cli.output import console, model_table, print_json, say

_HELP = "List models; show, rename, delete or restore one."

app = typer.Typer(help=_HELP, invoke_without_command=True, add_completion=False)

ModelId = Annotated[
    str, typer.Argument(help="Model id, name, name@version or `latest`.", metavar="MODEL")
]
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
    """List models; show, rename, delete or restore one."""
    if context.invoked_subcommand is not None:
        return
    with service(url, key) as client:
        models = client.models(limit)
    if as_json:
        print_json(models)
    else:
        console().print(model_table(models))


@app.command("show")
def show_command(
    model_id: ModelId,
    *,
    report: Annotated[
        bool,
        typer.Option(
            "--report", help="Print which layers can be pruned and which cannot, as JSON."
        ),
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show a model, or its intake report."""
    with service(url, key) as client:
        model = client.get_model(resolve_model(client, model_id))
        found = client.report(model) if report else None
    if found is not None or as_json:
        print_json(model if found is None else found)
    else:
        console().print(model_table([model]))
        if model.error is not None:
            say(f"{model.error.code}: {model.error.message}", is_result=True)


@app.command("delete")
def delete_command(
    model_id: ModelId, *, permanent: Permanent = False, url: Url = None, key: Key = None
) -> None:
    """Delete a model that no live job uses; `restore` undoes it for a time."""
    with service(url, key) as client:
        found = client.get_model(model_id)
        client.delete_model(found, permanent=permanent)
    undo = "" if permanent else f" To undo: secateur models restore {found.id}"
    say(f"Deleted {found.name}.{undo}")


@app.command("restore")
def restore_command(model_id: ModelId, *, url: Url = None, key: Key = None) -> None:
    """Undo the deletion of a model, by its id."""
    with service(url, key) as client:
        found = client.restore_model(model_id)
    say(f"Restored {found.name} version {found.version}.")


@app.command("rename")
def rename_command(
    model_id: ModelId,
    name: Annotated[str, typer.Argument(help="New name.")],
    *,
    url: Url = None,
    key: Key = None,
) -> None:
    """Rename a model; it becomes the next version of the new name."""
    with service(url, key) as client:
        found = client.rename_model(model_id, name)
    say(f"{found.name}@{found.version}", is_result=True)

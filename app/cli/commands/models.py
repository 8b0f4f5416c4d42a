"""``secateur models``."""

from typing import Annotated

import typer

from app.cli.client import AsJson, Key, Url, service
from app.cli.names import resolve_model
from app.cli.output import console, model_table, print_json, say
from app.cli.stored_commands import Kind, stored_app
from secateur import Client

_REFERENCE = "Model id, name, name@version or `latest`."

app = stored_app(
    Kind(
        command="models",
        help="List models; show, rename, delete or restore one.",
        noun="a model",
        metavar="MODEL",
        reference=_REFERENCE,
        items=Client.models,
        get=Client.get_model,
        delete=Client.delete_model,
        restore=Client.restore_model,
        table=model_table,
    )
)

ModelId = Annotated[str, typer.Argument(help=_REFERENCE, metavar="MODEL")]


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

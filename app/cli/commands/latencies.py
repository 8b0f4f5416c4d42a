"""``secateur latencies``."""

from typing import Annotated

import typer

from app.cli.client import AsJson, Key, Permanent, Url, service
from app.cli.output import console, latencies_table, print_json, say

_HELP = "List latencies that devices measured; delete or restore some."

app = typer.Typer(help=_HELP, invoke_without_command=True, add_completion=False)

LatenciesId = Annotated[str, typer.Argument(help="Id or name.", metavar="LATENCIES")]


@app.callback()
def list_command(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number to list.")] = 20,
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """List latencies that devices measured; delete or restore some."""
    if context.invoked_subcommand is not None:
        return
    with service(url, key) as client:
        found = client.latencies(limit)
    if as_json:
        print_json(found)
    else:
        console().print(latencies_table(found))


@app.command("delete")
def delete_command(
    latencies_id: LatenciesId, *, permanent: Permanent = False, url: Url = None, key: Key = None
) -> None:
    """Delete latencies that no live job uses; `restore` undoes it for a time."""
    with service(url, key) as client:
        found = client.get_latencies(latencies_id)
        client.delete_latencies(found, permanent=permanent)
    undo = "" if permanent else f" To undo: secateur latencies restore {found.id}"
    say(f"Deleted {found.name}.{undo}")


@app.command("restore")
def restore_command(latencies_id: LatenciesId, *, url: Url = None, key: Key = None) -> None:
    """Undo the deletion of latencies, by their id."""
    with service(url, key) as client:
        found = client.restore_latencies(latencies_id)
    say(f"Restored {found.name}.")

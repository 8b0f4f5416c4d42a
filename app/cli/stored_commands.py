"""Commands that models, data sets and latencies have in common: list, delete, restore."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import typer
from rich.table import Table

from app.cli.client import AsJson, Key, Permanent, Url, service
from app.cli.output import console, print_json, say
from secateur import Client, Dataset, Model, NotFoundError
from secateur.types import DeviceLatencies

Item = TypeVar("Item", Model, Dataset, DeviceLatencies)


@dataclass(frozen=True)
class Kind(Generic[Item]):
    """A kind of stored things, with the client's methods for it.

    Attributes:
        command: Name of its group of commands.
        help: What the group does.
        noun: One of the kind, with its article.
        metavar: One of the kind, in usage lines.
        reference: What the user names one by.
    """

    command: str
    help: str
    noun: str
    metavar: str
    reference: str
    items: Callable[[Client, int], Sequence[Item]]
    get: Callable[[Client, str], Item]
    delete: Callable[..., None]
    restore: Callable[[Client, str], Item]
    table: Callable[[Sequence[Item]], Table]


def stored_app(kind: Kind[Item]) -> typer.Typer:
    """Return the commands of a kind; without a name they list it."""
    app = typer.Typer(help=kind.help, invoke_without_command=True, add_completion=False)

    @app.callback(help=kind.help)
    def list_command(
        context: typer.Context,
        *,
        limit: Annotated[int, typer.Option(min=1, help="Maximum number to list.")] = 20,
        as_json: AsJson = False,
        url: Url = None,
        key: Key = None,
    ) -> None:
        if context.invoked_subcommand is not None:
            return
        with service(url, key) as client:
            found = kind.items(client, limit)
        if as_json:
            print_json(found)
        else:
            console().print(kind.table(found))

    @app.command(
        "delete", help=f"Delete {kind.noun} that no live job uses; `restore` undoes it for a time."
    )
    def delete_command(
        item: Annotated[str, typer.Argument(help=kind.reference, metavar=kind.metavar)],
        *,
        permanent: Permanent = False,
        url: Url = None,
        key: Key = None,
    ) -> None:
        with service(url, key) as client:
            found = kind.get(client, item)
            kind.delete(client, found, permanent=permanent)
        undo = "" if permanent else f" To undo: secateur {kind.command} restore {found.id}"
        say(f"Deleted {found.name}.{undo}")

    @app.command("restore", help=f"Undo the deletion of {kind.noun}, by id.")
    def restore_command(
        item: Annotated[str, typer.Argument(help="Id.", metavar=kind.metavar)],
        *,
        url: Url = None,
        key: Key = None,
    ) -> None:
        with service(url, key) as client:
            with suppress(NotFoundError):
                say(f"{kind.get(client, item).name} is not deleted; nothing was restored.")
                return
            found = kind.restore(client, item)
        say(f"Restored {found.name}.")

    return app

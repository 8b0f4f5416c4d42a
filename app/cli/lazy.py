"""A group of commands whose modules are imported when they are called, and not for the help."""

import importlib
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from app.contracts.installation import Extra, how_to_install


@dataclass(frozen=True)
class Lazy:
    """A command that is not imported yet.

    Attributes:
        module: Whose ``app`` it is.
        help: The first line of what it says of itself; a test compares them.
        panel: Under which heading the help lists it.
        extra: What has to be installed for it, besides the client.
    """

    module: str
    help: str
    panel: str
    extra: Extra | None = None


class LazyGroup(TyperGroup):
    """Puts the real command in the place of its stand-in before it is asked for anything."""

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]  # noqa: ANN401  # click's own types are typer's secret
        """Return the command that the arguments name."""
        stand_in = self.commands.get(args[0]) if args else None
        lazy = getattr(getattr(stand_in, "callback", None), "lazy", None)
        if lazy is not None:
            command = typer.main.get_command(_import(args[0], lazy).app)
            command.name = args[0]
            self.commands[args[0]] = command
        return super().resolve_command(ctx, args)


def add_lazy(app: typer.Typer, commands: dict[str, Lazy]) -> None:
    """Register a stand-in for each command, in order."""
    for name, lazy in commands.items():
        app.command(name, help=lazy.help, rich_help_panel=lazy.panel)(_stand_in(lazy))


def _import(name: str, lazy: Lazy) -> Any:  # noqa: ANN401  # a module
    try:
        return importlib.import_module(lazy.module)
    except ModuleNotFoundError as error:
        if lazy.extra is None:
            raise
        typer.secho(
            f"secateur: {name} needs {error.name}, which is not installed: "
            f"{how_to_install(lazy.extra)}",
            fg="red",
            err=True,
        )
        raise typer.Exit(1) from error


def _stand_in(lazy: Lazy) -> Any:  # noqa: ANN401  # a function with an attribute
    def call() -> None:
        raise AssertionError(lazy.module)  # `LazyGroup` never calls it

    call.lazy = lazy  # type: ignore[attr-defined]
    return call

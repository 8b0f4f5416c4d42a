"""Command group that imports a command's module only when the command runs.

``secateur --help`` stays fast and works without the optional packages.
"""

import importlib
from dataclasses import dataclass
from typing import Any

import typer
from typer.core import TyperGroup

from app.contracts.installation import Extra, how_to_install


@dataclass(frozen=True)
class Lazy:
    """A command whose module is not imported yet.

    Attributes:
        module: Module whose ``app`` holds the command.
        help: First line of the command's own help. A test compares the two.
        panel: Heading in the help.
        extra: Extra that the command needs besides the client, if any.
    """

    module: str
    help: str
    panel: str
    extra: Extra | None = None


class LazyGroup(TyperGroup):
    """Group that replaces a placeholder by the real command when it is looked up."""

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]  # noqa: ANN401  # typer vendors click's types
        """Import and return the command that the arguments name.

        Raises:
            typer.Exit: A package that the command needs is not installed.
        """
        placeholder = self.commands.get(args[0]) if args else None
        lazy = getattr(getattr(placeholder, "callback", None), "lazy", None)
        if lazy is not None:
            command = typer.main.get_command(_import(args[0], lazy).app)
            command.name = args[0]
            self.commands[args[0]] = command
        return super().resolve_command(ctx, args)


def add_lazy(app: typer.Typer, commands: dict[str, Lazy]) -> None:
    """Register a placeholder for each command, in order."""
    for name, lazy in commands.items():
        app.command(name, help=lazy.help, rich_help_panel=lazy.panel)(_placeholder(lazy))


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


def _placeholder(lazy: Lazy) -> Any:  # noqa: ANN401  # a function with an attribute
    def call() -> None:
        raise AssertionError(lazy.module)  # `LazyGroup` replaces it before it is called

    call.lazy = lazy  # type: ignore[attr-defined]
    return call

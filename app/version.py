"""The option ``--version``, which `secateur` and `secateur-engine` share."""

from typing import Any

import typer


def version_option(command: str) -> Any:  # noqa: ANN401  # typer declares its options so
    """Return an option that prints a command's name with the version, and exits."""

    def show(is_requested: bool) -> None:  # noqa: FBT001  # typer passes it by position
        if is_requested:
            from secateur import __version__  # noqa: PLC0415  # help does not need the client

            typer.echo(f"{command} {__version__}")
            raise typer.Exit

    return typer.Option(
        "--version", is_eager=True, callback=show, help="Print the version and exit."
    )

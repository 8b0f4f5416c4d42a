"""The settings of this environment, for commands that run a service."""

import typer

from app.cli.output import say
from app.contracts.settings import Settings, load_settings


def settings_or_exit() -> Settings:
    """Return the settings of the environment.

    Raises:
        typer.Exit: A name or a value is not valid; the reason was printed.
    """
    try:
        return load_settings()
    except ValueError as error:
        say(f"secateur: {error}", colour="red")
        raise typer.Exit(1) from error

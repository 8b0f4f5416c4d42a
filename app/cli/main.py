"""The entry point of the ``secateur`` command: which commands there are, and nothing of them."""

from typing import Annotated

import typer

from app.cli.lazy import Lazy, LazyGroup, add_lazy

_USE, _OPERATE = "Use a service", "Run a service"
_COMMANDS = "app.cli.commands"
COMMANDS = {
    "push": Lazy(f"{_COMMANDS}.push", "Upload a model, or samples with --data.", _USE),
    "prune": Lazy(f"{_COMMANDS}.prune", "Prune a model: post a job, or preview it.", _USE),
    "watch": Lazy(f"{_COMMANDS}.watch", "Follow a job to its end, and show its result.", _USE),
    "pull": Lazy(f"{_COMMANDS}.pull", "Download what a job made.", _USE),
    "infer": Lazy(f"{_COMMANDS}.infer", "Run a model on image files or on arrays.", _USE),
    "sweep": Lazy(f"{_COMMANDS}.sweep", "Prune in many ways, and compare what comes out.", _USE),
    "models": Lazy(f"{_COMMANDS}.models", "List models; show or delete one.", _USE),
    "datasets": Lazy(f"{_COMMANDS}.datasets", "List data sets; show or delete one.", _USE),
    "jobs": Lazy(f"{_COMMANDS}.jobs", "List jobs; show, pause, resume or cancel one.", _USE),
    "serve": Lazy(
        f"{_COMMANDS}.serve",
        "Start API, workers, scheduler and queue on this machine, until Ctrl-C.",
        _OPERATE,
        "worker",
    ),
    "demo": Lazy(f"{_COMMANDS}.demo", "Prune a real network through a real service.", _OPERATE),
    "doctor": Lazy(
        f"{_COMMANDS}.doctor", "Look for what is wrong, and say what to do.", _OPERATE, "service"
    ),
    "keys": Lazy("app.cli.keys", "Make, list, rotate and revoke API keys.", _OPERATE, "service"),
    "migrate": Lazy(
        f"{_COMMANDS}.migrate",
        "Bring the tables of the database in the settings up to date.",
        _OPERATE,
        "service",
    ),
    "collect-garbage": Lazy(
        f"{_COMMANDS}.collect_garbage",
        "Remove stored objects that nothing refers to; the scheduler has it done every hour.",
        _OPERATE,
        "service",
    ),
}

app = typer.Typer(
    cls=LazyGroup,
    help="Prune convolutional networks: push, prune, pull, infer; or serve.",
    no_args_is_help=True,
    add_completion=True,
)
add_lazy(app, COMMANDS)


def print_version(is_asked: bool) -> None:  # noqa: FBT001  # as typer calls it
    """Print the version and end, if the option is there."""
    if is_asked:
        from secateur import __version__  # noqa: PLC0415  # the client is not needed for the help

        typer.echo(f"secateur {__version__}")
        raise typer.Exit


@app.callback()
def options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=print_version, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Prune convolutional networks: push, prune, pull, infer; or serve."""


def main() -> None:
    """Run the command line."""
    app()

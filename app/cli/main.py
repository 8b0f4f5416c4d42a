"""The entry point of the ``secateur`` command: which commands there are, and nothing of them."""

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
    ),
    "demo": Lazy(f"{_COMMANDS}.demo", "Prune a real network through a real service.", _OPERATE),
    "doctor": Lazy(f"{_COMMANDS}.doctor", "Look for what is wrong, and say what to do.", _OPERATE),
    "keys": Lazy("app.cli.keys", "Make, list, rotate and revoke API keys.", _OPERATE),
    "migrate": Lazy(
        f"{_COMMANDS}.migrate",
        "Bring the tables of the database in the settings up to date.",
        _OPERATE,
    ),
    "collect-garbage": Lazy(
        f"{_COMMANDS}.collect_garbage",
        "Remove stored objects that nothing refers to; the scheduler has it done every hour.",
        _OPERATE,
    ),
}

app = typer.Typer(
    cls=LazyGroup,
    help="Prune convolutional networks: push, prune, pull, infer; or serve.",
    no_args_is_help=True,
    add_completion=True,
)
add_lazy(app, COMMANDS)


def main() -> None:
    """Run the command line."""
    app()

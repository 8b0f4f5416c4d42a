"""Entry point of the ``secateur`` command: the table of commands, imported only when called."""

from typing import Annotated

import typer

from app.cli.lazy import Lazy, LazyGroup, add_lazy
from app.version import version_option

_USE, _OPERATE = "Use a service", "Run a service"
_COMMANDS = "app.cli.commands"
COMMANDS = {
    "example": Lazy(
        f"{_COMMANDS}.example",
        "Prune a small network that comes with the service, in about a minute.",
        _USE,
    ),
    "push": Lazy(f"{_COMMANDS}.push", "Upload a model, or samples with --data.", _USE),
    "prune": Lazy(f"{_COMMANDS}.prune", "Start a pruning job, or preview it with --plan.", _USE),
    "watch": Lazy(f"{_COMMANDS}.watch", "Follow a job until it ends and show its result.", _USE),
    "pull": Lazy(f"{_COMMANDS}.pull", "Download the files of a finished job.", _USE),
    "infer": Lazy(f"{_COMMANDS}.infer", "Run a model on images or arrays.", _USE),
    "sweep": Lazy(
        f"{_COMMANDS}.sweep", "Run one pruning job per grid point and compare the results.", _USE
    ),
    "models": Lazy(
        f"{_COMMANDS}.models", "List models; show, rename, delete or restore one.", _USE
    ),
    "datasets": Lazy(
        f"{_COMMANDS}.datasets", "List data sets; show, rename, delete or restore one.", _USE
    ),
    "bench": Lazy(
        f"{_COMMANDS}.bench",
        "Write the layers of a model for a device to measure with secateur_bench.py.",
        _USE,
    ),
    "bench-script": Lazy(
        f"{_COMMANDS}.bench_script",
        "Write the script that measures layers on a device; it needs numpy and a runtime there.",
        _USE,
    ),
    "push-latencies": Lazy(
        f"{_COMMANDS}.push_latencies",
        "Upload latencies that a device measured, to prune for that device.",
        _USE,
    ),
    "latencies": Lazy(
        f"{_COMMANDS}.latencies",
        "List latencies that devices measured; delete or restore some.",
        _USE,
    ),
    "jobs": Lazy(
        f"{_COMMANDS}.jobs", "List, compare and label jobs; pause, cancel or delete one.", _USE
    ),
    "register": Lazy(
        f"{_COMMANDS}.register",
        "Register a finished job's network in MLflow, with its curves, report and origin.",
        _USE,
    ),
    "publish": Lazy(
        f"{_COMMANDS}.publish",
        "Publish a finished job's network on the Hugging Face Hub, with a model card.",
        _USE,
    ),
    "mirror": Lazy(
        f"{_COMMANDS}.mirror",
        "Mirror jobs' curves and final figures in trackio until the jobs end.",
        _USE,
    ),
    "mcp": Lazy(
        f"{_COMMANDS}.mcp",
        "Serve the service's operations to an assistant as MCP tools on standard input and output.",
        _USE,
        "mcp",
    ),
    "serve": Lazy(
        f"{_COMMANDS}.serve",
        "Run the API, workers, scheduler and queue on this machine until Ctrl-C.",
        _OPERATE,
        "worker",
    ),
    "demo": Lazy(
        f"{_COMMANDS}.demo", "Prune a trained network end to end on this machine.", _OPERATE
    ),
    "doctor": Lazy(
        f"{_COMMANDS}.doctor", "Check this installation and suggest fixes.", _OPERATE, "service"
    ),
    "keys": Lazy("app.cli.keys", "Create, list, rotate and revoke API keys.", _OPERATE, "service"),
    "workers": Lazy(
        f"{_COMMANDS}.workers",
        "List workers; cordon, drain or uncordon one.",
        _OPERATE,
        "service",
    ),
    "queues": Lazy(f"{_COMMANDS}.queues", "List queues; pause or resume one.", _OPERATE, "service"),
    "tenants": Lazy(
        f"{_COMMANDS}.tenants",
        "List tenants with their keys, jobs, stored bytes and compute time of today.",
        _OPERATE,
        "service",
    ),
    "migrate": Lazy(
        f"{_COMMANDS}.migrate",
        "Upgrade the database schema to this version.",
        _OPERATE,
        "service",
    ),
    "collect-garbage": Lazy(
        f"{_COMMANDS}.collect_garbage",
        "Remove old jobs and unreferenced stored objects. The scheduler does this every hour.",
        _OPERATE,
        "service",
    ),
}

app = typer.Typer(
    cls=LazyGroup,
    help="Prune, retrain and serve convolutional networks.",
    no_args_is_help=True,
    add_completion=True,
)
add_lazy(app, COMMANDS)


@app.callback()
def options(
    *,
    _version: Annotated[bool, version_option("secateur")] = False,
) -> None:
    """Prune, retrain and serve convolutional networks."""


def main() -> None:
    """Run the command line."""
    app()

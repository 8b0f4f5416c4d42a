"""``secateur demo``: runs the example of that name, from a checkout or where it was installed."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from app.cli.client import ExitCode
from app.contracts.installation import (
    SERVICE_MODULES,
    WORKER_MODULES,
    find_missing,
    how_to_install,
)

app = typer.Typer(add_completion=False)

_MODULE = "examples.demo"
_HOME = Path(__file__).parents[3]  # a checkout, or the folder `_service` of a wheel


@app.command("demo")
def demo_command(
    output: Annotated[
        Path, typer.Option(help="Folder for the results; new, empty, or of an earlier demo.")
    ] = Path("demo-output"),
) -> None:
    """Prune a real network through a real service.

    Serves on a free port, uploads a trained ResNet-20 and Fashion-MNIST (or 5,000 images of MNIST
    where that cannot be had), prunes to half the multiply-accumulates, retrains, asks the pruned
    network about test images over HTTP, and prints what changed. How many images it takes goes by
    the measured speed of this machine. Stopped, it goes on when it is called again.
    """
    missing = find_missing((*SERVICE_MODULES, *WORKER_MODULES))
    if missing:
        names = ", ".join(missing)
        _fail(f"the demo prunes on this machine, and needs {names}: {how_to_install('worker')}")
    environment = dict(os.environ)  # noqa: TID251  # handed on, with where the demo is
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(_HOME), environment.get("PYTHONPATH")])
    )
    # Its speed is measured as jobs train (worker/fork_server/server.py).
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # -P: a folder `examples` of the user's own is not meant.
    command = [sys.executable, "-u", "-P", "-m", _MODULE, "--output", str(output)]
    os.execve(sys.executable, command, environment)  # noqa: S606  # signals reach it, not us


def _fail(message: str) -> NoReturn:
    typer.secho(f"secateur: {message}", fg="red", err=True)
    raise typer.Exit(ExitCode.FAILED)

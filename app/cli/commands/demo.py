"""``secateur demo``: run `examples.demo` from a checkout or from the installed package."""

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
_HOME = Path(__file__).parents[3]  # a checkout, or the folder `_service` in a wheel


@app.command("demo")
def demo_command(
    output: Annotated[
        Path, typer.Option(help="Folder for the results: new, empty, or from an earlier demo.")
    ] = Path("demo-output"),
) -> None:
    """Prune a trained network end to end on this machine.

    Starts a service on a free port, uploads a trained ResNet-20 and Fashion-MNIST (or 5,000 MNIST
    images if it cannot be downloaded), prunes to half the multiply-accumulates, retrains, runs the
    pruned network on test images over HTTP, and prints a comparison. The number of images depends
    on the measured speed of this machine. Run the command again to resume an interrupted demo.
    """
    missing = find_missing((*SERVICE_MODULES, *WORKER_MODULES))
    if missing:
        names = ", ".join(missing)
        _fail(f"the demo prunes on this machine and needs {names}: {how_to_install('worker')}")
    environment = dict(os.environ)  # noqa: TID251  # passed on with the demo's path
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(_HOME), environment.get("PYTHONPATH")])
    )
    # Measure speed under the setting that jobs train with (worker/fork_server/server.py).
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # -P: never import a folder `examples` from the current directory.
    command = [sys.executable, "-u", "-P", "-m", _MODULE, "--output", str(output)]
    os.execve(sys.executable, command, environment)  # noqa: S606  # signals must reach the demo itself


def _fail(message: str) -> NoReturn:
    typer.secho(f"secateur: {message}", fg="red", err=True)
    raise typer.Exit(ExitCode.FAILED)

"""``secateur demo``: runs the example of that name, from a checkout or where it was installed."""

import os
import sys
import sysconfig
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from app.cli.client import ExitCode
from app.contracts.installation import find_missing

app = typer.Typer(add_completion=False)

_MODULE = "examples.demo"
_CHECKOUT = Path(__file__).parents[3]
# Where pyproject.toml has them installed.
_SHARED = Path(sysconfig.get_path("data")) / "share" / "secateur"


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
    home = find_examples()
    if home is None:
        _fail(f"the demo is neither in {_CHECKOUT} nor in {_SHARED}: install Secateur again")
    missing = find_missing()
    if missing:
        names = ", ".join(missing)
        _fail(f"the demo prunes on this machine, and needs {names}: pip install 'secateur[worker]'")
    environment = dict(os.environ)  # noqa: TID251  # handed on, with where the demo is
    environment["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(home), environment.get("PYTHONPATH")])
    )
    # Its speed is measured as jobs train (worker/fork_server/server.py).
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # -P: a folder `examples` of the user's own is not meant.
    command = [sys.executable, "-u", "-P", "-m", _MODULE, "--output", str(output)]
    os.execve(sys.executable, command, environment)  # noqa: S606  # signals reach it, not us


def find_examples(homes: tuple[Path, ...] = (_CHECKOUT, _SHARED)) -> Path | None:
    """Return the folder that has the examples in it."""
    return next((home for home in homes if (home / "examples" / "demo.py").exists()), None)


def _fail(message: str) -> NoReturn:
    typer.secho(f"secateur: {message}", fg="red", err=True)
    raise typer.Exit(ExitCode.FAILED)

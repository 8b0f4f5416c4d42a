"""Export a network of a library, such as timm/resnet50, on this machine.

In a process of its own, because the API's side never imports torch.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from app.cli.output import say
from secateur import SecateurError
from secateur.options import Preset


@contextmanager
def exported(name: str) -> Iterator[Path]:
    """Write a network with its published weights to a temporary file, and print its preprocessing.

    Raises:
        SecateurError: The network cannot be loaded or exported; the message says why.
    """
    say(f"Loading {name} with its weights …")
    with tempfile.TemporaryDirectory(prefix="secateur-") as folder:
        path = Path(folder) / f"{name.rpartition('/')[2]}.pt2"
        preprocess = _export(name, path)
        say(f"It was trained with: --preprocess {_option(preprocess)}")
        yield path


def _export(name: str, path: Path) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603  # this Python, one argument of the user's
        [sys.executable, "-W", "ignore", "-m", "secateur.pretrained", name, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.strip().splitlines()
    if done.returncode != 0:
        raise SecateurError(lines[-1] if lines else f"{name}: exit code {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _option(preprocess: dict[str, Any]) -> str:
    """Return a preset with these numbers, or the numbers as JSON."""
    from app.contracts.spec import PreprocessSpec  # noqa: PLC0415  # slow, and seldom needed

    given = PreprocessSpec.model_validate(preprocess)
    for preset in get_args(Preset):
        spec = PreprocessSpec(preset=preset)
        if (spec.mean, spec.std) == (given.mean, given.std):
            return str(preset)
    return f"'{json.dumps(preprocess)}'"

"""Runs the checks of this folder on the simulated device, in one process of their own."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def test_every_stage_runs_on_an_accelerator() -> None:
    files = sorted(map(str, FOLDER.glob("on_*.py")))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, *files], cwd=FOLDER.parents[1], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

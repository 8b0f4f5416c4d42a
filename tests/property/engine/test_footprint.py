"""What the limits count for a call against what it really takes, on random shapes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SEEDS = (1,)
ROUNDING = 2**20  # pages, and small buffers of threads


@pytest.mark.parametrize("seed", SEEDS)
def test_no_operator_takes_more_memory_than_is_counted(seed: int) -> None:
    run = subprocess.run(  # our own module
        [sys.executable, "-m", "tests.property.engine.measuring", str(seed)],
        cwd=ROOT,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found = [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
    assert len(found) > 50
    under = {
        each["name"]: (each["measured"] / 2**20, each["judged"] / 2**20)
        for each in found
        if each["judged"] < 0.9 * each["measured"] - ROUNDING
    }
    assert under == {}

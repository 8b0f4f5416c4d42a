"""The client's types as mypy reads them outside of this project."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONSUMER = ROOT / "tests" / "unit" / "client" / "consumer.py"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mypy")


def mypy(file: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", cache, file]
    return subprocess.run(
        command, cwd=cache, env={"MYPYPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )


def test_a_consumer_checks_strictly(cache: Path) -> None:
    done = mypy(CONSUMER, cache)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("client.push('m.pt2', colour=1)", "call-arg"),
        ("client.prune('m.pt2').wait().result.summary", "union-attr"),
        ("client.infer('net', [1.0])", "call-overload"),
        ("client.prune('m.pt2', max_attempts='often')", "arg-type"),
        ("client.jobs().id", "attr-defined"),
        ("client.prune('m.pt2', goal='fastest')", "arg-type"),
        (
            "import secateur.config as c; s: c.BudgetSelection = {'mode': 'budgett', 'macs': 0.5}",
            "typeddict-item",
        ),
    ],
)
def test_wrong_types_are_detected(line: str, code: str, cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(f"from secateur import Client\n\nclient = Client()\n{line}\n")
    done = mypy(file, cache)
    assert f"[{code}]" in done.stdout, done.stdout + done.stderr

"""The client's types as mypy reads them outside of this project."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONSUMER = ROOT / "tests" / "unit" / "client" / "consumer.py"
# `make static` checks the consumer's lines about torch: to read torch's types takes 14 s of CPU.
CONFIG = """
[mypy]
strict = True
disallow_subclassing_any = False
[mypy-torch.*]
follow_imports = skip
"""
WRONG = {
    "client.push('m.pt2', colour=1)": "call-arg",
    "client.prune('m.pt2').wait().result.summary": "union-attr",
    "client.infer('net', [1.0])": "call-overload",
    "client.prune('m.pt2', max_attempts='often')": "arg-type",
    "client.jobs().id": "attr-defined",
    "client.prune('m.pt2', goal='fastest')": "arg-type",
    "s: c.BudgetSelection = {'mode': 'budgett', 'macs': 0.5}": "typeddict-item",
}
BEGIN = ["from secateur import Client", "import secateur.config as c", "client = Client()"]


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Errors in a consumer and in a file of wrong lines."""
    folder = tmp_path_factory.mktemp("mypy")
    (folder / "mypy.ini").write_text(CONFIG)
    (folder / "wrong.py").write_text("\n".join([*BEGIN, *WRONG]))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--hide-error-context", CONSUMER, "wrong.py"],
        cwd=folder,
        env={"MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr
    return [line for line in done.stdout.splitlines() if ": error: " in line]


def test_a_consumer_checks_strictly(complaints: list[str]) -> None:
    assert [line for line in complaints if not line.startswith("wrong.py:")] == []


@pytest.mark.parametrize("line", WRONG)
def test_wrong_types_are_detected(line: str, complaints: list[str]) -> None:
    place = f"wrong.py:{len(BEGIN) + list(WRONG).index(line) + 1}: "
    (complaint,) = [found for found in complaints if found.startswith(place)]
    assert complaint.endswith(f"[{WRONG[line]}]")

"""Goals of ``secateur-engine prune``: which config its options make."""

from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner

from worker.cli import main
from worker.cli.local import LocalError


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ("--goal smaller", {"mode": "budget", "params": 0.5, "round_to": 8}),
        ("--goal faster", {"mode": "budget", "latency": 0.5, "round_to": "auto"}),
        ("--goal faster --round-to 8", {"latency": 0.5, "round_to": 8}),
        ("--macs 0.5 --round-to auto", {"macs": 0.5, "round_to": "auto"}),
        ("", {"mode": "steepness", "round_to": 8}),
    ],
)
def test_a_goal_stands_for_a_config_and_options_refine_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: str, wanted: dict[str, Any]
) -> None:
    seen = []

    def stop(*arguments: Any) -> NoReturn:
        seen.append(arguments[2].selection.model_dump())
        raise LocalError("far enough")

    monkeypatch.setattr(main, "local_request", stop)
    found = CliRunner().invoke(
        main.app, ["prune", str(tmp_path), "--out", str(tmp_path / "out"), *options.split()]
    )
    assert "far enough" in found.stderr
    [selection] = seen
    assert selection | wanted == selection


def test_a_goal_excludes_another_amount(tmp_path: Path) -> None:
    arguments = ["prune", str(tmp_path), "--out", "x", "--goal", "smaller", "--macs", "0.5"]
    found = CliRunner().invoke(main.app, arguments)
    assert "--goal already says how much to remove" in found.stderr
    found = CliRunner().invoke(main.app, [*arguments[:5], "smalle"])
    assert "did you mean 'smaller'?" in found.stderr

"""Alert rules: valid, tested, and about metrics that exist."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from docs import generate_metrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "prometheus"
RULES = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]


def test_every_alert_uses_metrics_that_exist_and_says_what_is_wrong() -> None:
    collectors = [*generate_metrics.api_collectors(), *generate_metrics.worker_collectors()]
    known = {name for name, *_ in generate_metrics.rows(collectors)}
    for rule in RULES:
        named = set(re.findall(r"\bsecateur_\w+", rule["expr"]))
        assert named <= known, rule["alert"]
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["labels"]["severity"] in {"critical", "warning"}


def test_every_alert_is_shown_to_fire() -> None:
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())["tests"]
    expected = [
        sample["labels"]
        for test in tests
        for check in test["promql_expr_test"]
        for sample in check["exp_samples"]
    ]
    fired = {name for labels in expected for name in re.findall(r'alertname="(\w+)"', labels)}
    assert fired == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize("arguments", [("check", "alerts.yml"), ("test", "alerts_test.yml")])
def test_prometheus_accepts_the_rules_and_they_fire_when_they_should(
    arguments: tuple[str, str],
) -> None:
    promtool = shutil.which("promtool")
    if promtool is None and "CI" not in os.environ:
        pytest.skip("promtool is not installed: apt-get install prometheus")
    assert promtool is not None, "promtool is not installed"
    command, file = arguments
    done = subprocess.run(
        [promtool, command, "rules", file], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr

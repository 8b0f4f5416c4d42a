"""``secateur pull`` of a job without files."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from app.cli.client import reporting
from app.cli.commands import pull


def test_a_job_without_a_result_is_an_error_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = SimpleNamespace(id="job_1", status="failed", result=None)

    @contextmanager
    def service(*_: Any) -> Iterator[Any]:
        with reporting():
            yield SimpleNamespace(get_job=lambda _: job)

    monkeypatch.setattr(pull, "service", service)
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(pull.app, ["job_1"])
    assert found.exit_code == 1
    assert "job job_1 is failed and has no files: secateur watch job_1 shows why" in found.output
    assert list(tmp_path.iterdir()) == []

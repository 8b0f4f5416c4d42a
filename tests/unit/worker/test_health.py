"""The container's health check detects a worker that is gone."""

import os
from pathlib import Path

import pytest

from app.contracts.settings import Settings
from worker import health


def settings_of(path: Path | None) -> Settings:
    return Settings(worker={"heartbeat_file": path})  # type: ignore[arg-type]


def test_a_process_with_a_heartbeat_is_alive_until_it_stops(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "heartbeat")
    trouble = health.find_trouble(settings, 0)
    assert trouble is not None
    assert "does not exist" in trouble
    health.beat(settings)
    path = tmp_path / "heartbeat"
    os.utime(path, (1000, 1000))
    assert health.find_trouble(settings, 1059) is None
    assert health.find_trouble(settings, 1061) == f"{path} is 61 s old"
    assert health.find_trouble(settings, 900) == f"{path} is from the future"
    health.beat(settings)
    assert path.stat().st_mtime > 1000


def test_the_health_check_fails_without_a_heartbeat_file() -> None:
    health.beat(settings_of(None))
    trouble = health.find_trouble(settings_of(None), 0)
    assert trouble is not None
    assert "HEARTBEAT_FILE" in trouble


def test_the_command_fails_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECATEUR_WORKER__HEARTBEAT_FILE", str(tmp_path / "heartbeat"))
    with pytest.raises(SystemExit, match="does not exist"):
        health.main()
    (tmp_path / "heartbeat").touch()
    health.main()

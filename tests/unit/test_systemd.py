"""The systemd units: valid, with commands that exist, and times that agree with the settings."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import serve
from app.contracts.settings import SECRETS, Settings, check_name
from app.contracts.tasks import QUEUES

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "systemd"
BINARIES = "/opt/secateur/venv/bin"
COPY_SECONDS, SPARE_SECONDS = 60, 5  # a checkpoint on its way to the store; some to spare


def read(path: Path) -> dict[str, list[str]]:
    """Return the values of a unit by name, over all its sections."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


SERVICES = {
    path.stem.removeprefix("secateur-"): read(path) for path in sorted(FOLDER.glob("*.service"))
}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for line in (FOLDER / "settings.env").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            check_name(name)
            monkeypatch.setenv(name, value)
    return Settings()


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None and "CI" not in os.environ:
        pytest.skip("systemd is not installed")
    assert program is not None, "systemd is not installed"
    for path in (*FOLDER.glob("*.service"), *FOLDER.glob("*.target")):
        text = path.read_text().replace(BINARIES, str(Path(sys.executable).parent))
        (tmp_path / path.name).write_text(text)
    units = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run(
        [program, "verify", "--man=no", "--recursive-errors=no", *units],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_units_run_what_serve_runs(tmp_path: Path) -> None:
    with socket.socket() as listener:
        commands = serve.commands(Settings(data_dir=tmp_path), listener)
    expected = {command.name: list(command.argv) for command in commands}
    assert set(SERVICES) == set(expected) | {"migrate"}
    for name, argv in expected.items():
        (line,) = SERVICES[name]["ExecStart"]
        words = line.replace("%%", "%").split()
        assert words[0] == f"{BINARIES}/python"
        module = words[words.index("-m") + 1]
        assert module == argv[argv.index("-m") + 1]
        for option in ("-Q", "-c", "--pool", "-n"):
            assert (option in words) == (option in argv)
            if option in argv:
                assert words[words.index(option) + 1] == argv[argv.index(option) + 1]
    queues = {
        words[words.index("-Q") + 1]
        for words in (service["ExecStart"][0].split() for service in SERVICES.values())
        if "-Q" in words
    }
    assert queues == set(QUEUES) - {"gpu"}


@pytest.mark.parametrize("name", SERVICES)
def test_every_unit_has_its_own_folder_and_reads_each_secret_as_a_credential(name: str) -> None:
    service = SERVICES[name]
    assert service["User"] == ["secateur"]
    assert service["NoNewPrivileges"] == ["yes"]
    assert service["StateDirectory"] == [f"secateur/{name}"]
    environment = dict(
        pair.split("=", 1) for line in service["Environment"] for pair in line.split()
    )
    assert environment["SECATEUR_DATA_DIR"] == f"%S/secateur/{name}"
    loaded = {value.partition(":")[0] for value in service["LoadCredential"]}
    for group, secret in SECRETS:
        path = environment[f"SECATEUR_{group}__{secret}_FILE".upper()]
        assert path.removeprefix("%d/") in loaded
    assert ("Restart" in service) == (name != "migrate")


def test_the_times_to_stop_leave_room_for_what_the_settings_say(settings: Settings) -> None:
    stop = {name: float(service["TimeoutStopSec"][0]) for name, service in SERVICES.items()}
    http, worker = settings.http, settings.worker
    assert stop["api"] >= http.leave_seconds + http.stop_seconds + SPARE_SECONDS
    soft = worker.cancel_grace_seconds + 5  # worker_soft_shutdown_timeout
    for name in ("worker", "intake"):
        assert stop[name] >= soft + COPY_SECONDS + SPARE_SECONDS
        assert SERVICES[name]["KillMode"] == ["mixed"], "a job's process is stopped by its worker"
    assert stop["maintenance"] >= settings.webhooks.timeout_seconds + soft + SPARE_SECONDS

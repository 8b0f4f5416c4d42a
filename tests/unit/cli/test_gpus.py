"""One worker per GPU, by UUID. A fake ``nvidia-smi`` replaces the driver's."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.gpus import GpuError, list_gpus
from app.cli.serve import ServeError, commands
from app.contracts.settings import Settings

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put an ``nvidia-smi`` on PATH that runs one line of shell."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def write(line: str) -> None:
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    return write


def test_gpus_are_listed_by_uuid(install: Install) -> None:
    install('[ "$*" = "--query-gpu=uuid --format=csv,noheader" ] && echo GPU-a && echo GPU-b')
    assert list_gpus() == ("GPU-a", "GPU-b")


@pytest.mark.parametrize(
    ("line", "message"), [("exit 9", "cannot list"), ("true", "lists no GPU"), (None, "install")]
)
def test_a_failing_driver_is_reported(line: str | None, message: str, install: Install) -> None:
    if line is not None:
        install(line)
    with pytest.raises(GpuError, match=message):
        list_gpus()


def test_every_gpu_gets_a_worker_that_sees_only_that_gpu(install: Install, tmp_path: Path) -> None:
    install("echo GPU-a; echo GPU-b")
    settings = Settings(data_dir=tmp_path, worker={"device": "cuda"})  # type: ignore[arg-type]
    with socket.socket() as listener:
        found = {command.name: command for command in commands(settings, listener)}
    workers = [found["worker-0"], found["worker-1"]]
    assert [w.environment["CUDA_VISIBLE_DEVICES"] for w in workers] == ["GPU-a", "GPU-b"]
    for number, worker in enumerate(workers):
        assert "gpu" in worker.argv
        assert f"jobs{number}@%h" in worker.argv
    assert "CUDA_VISIBLE_DEVICES" not in found["api"].environment


@pytest.mark.usefixtures("install")
def test_a_missing_driver_is_reported_unless_gpus_are_listed(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, worker={"device": "cuda"})  # type: ignore[arg-type]
    with socket.socket() as listener, pytest.raises(ServeError, match="nvidia-smi"):
        commands(settings, listener)
    chosen = {"device": "cuda", "gpus": ("GPU-1",)}
    settings = Settings(data_dir=tmp_path, worker=chosen)  # type: ignore[arg-type]
    with socket.socket() as listener:
        assert commands(settings, listener)

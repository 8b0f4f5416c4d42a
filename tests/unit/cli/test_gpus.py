"""One worker per GPU, by UUID. A fake ``nvidia-smi`` replaces the driver's."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.doctor.devices import _check_gpus
from app.cli.doctor.finding import Status
from app.cli.gpus import GpuError, list_gpus
from app.cli.serve import ServeError, commands
from app.contracts.settings import Settings
from tests import nvidia_smi

Install = Callable[[str], None]
TWO = "echo 'GPU 0: NVIDIA A (UUID: GPU-a)'; echo 'GPU 1: NVIDIA B (UUID: GPU-b)'"


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
    install(f'[ "$*" = "-L" ] && {TWO}')
    assert list_gpus() == ("GPU-a", "GPU-b")


@pytest.mark.usefixtures("install")
def test_mig_devices_stand_in_for_their_gpu(tmp_path: Path) -> None:
    nvidia_smi.install(tmp_path, nvidia_smi.WITH_MIG)
    every = (*nvidia_smi.MIG, nvidia_smi.WHOLE)
    assert list_gpus() == every
    settings = Settings(data_dir=tmp_path, worker={"device": "cuda"})  # type: ignore[arg-type]
    with socket.socket() as listener:
        environments = [each.environment for each in commands(settings, listener)]
    visible = [each.get("CUDA_VISIBLE_DEVICES") for each in environments]
    assert tuple(filter(None, visible)) == every, "one worker each"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (nvidia_smi.MIG[1], Status.OK),
        (nvidia_smi.WHOLE, Status.OK),
        ("MIG-00000000-347f-5dd6-8da0-c3cc59e969e0", Status.FAIL),
        ("GPU-feba7e40-d724-01ff-b00f-3a439a28a6c7", Status.FAIL),  # divided
    ],
)
@pytest.mark.usefixtures("install")
def test_doctor_looks_for_each_named_gpu(name: str, status: Status, tmp_path: Path) -> None:
    nvidia_smi.install(tmp_path, nvidia_smi.WITH_MIG)
    chosen = {"device": "cuda", "gpus": (name,)}
    found = _check_gpus(Settings(data_dir=tmp_path, worker=chosen))  # type: ignore[arg-type]
    assert found.status is status
    assert status is Status.OK or (name in found.detail and nvidia_smi.MIG[0] in found.detail)


@pytest.mark.parametrize(
    ("line", "message"), [("exit 9", "cannot list"), ("true", "lists no GPU"), (None, "install")]
)
def test_a_failing_driver_is_reported(line: str | None, message: str, install: Install) -> None:
    if line is not None:
        install(line)
    with pytest.raises(GpuError, match=message):
        list_gpus()


def test_every_gpu_gets_a_worker_that_sees_only_that_gpu(install: Install, tmp_path: Path) -> None:
    install(TWO)
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

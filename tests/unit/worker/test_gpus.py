"""A worker knows its GPUs and their memory, whole or divided, from the driver alone."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.records.workers import Gpu
from app.telemetry.nvidia import read_memory
from tests import nvidia_smi
from worker.device_memory import DeviceMemoryCollector
from worker.gpus import list_gpus

MEBIBYTE = 2**20


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def memory(*devices: str) -> dict[str, tuple[float, float]]:
    """Return used and total MiB by UUID, from the metrics."""
    used, total = DeviceMemoryCollector(devices).collect()
    return {
        one.labels["gpu"]: (one.value / MEBIBYTE, other.value / MEBIBYTE)
        for one, other in zip(used.samples, total.samples, strict=True)
    }


def test_whole_gpus_have_a_name_and_memory(folder: Path) -> None:
    nvidia_smi.install(folder, nvidia_smi.WITHOUT_MIG)
    h200, laptop = list_gpus()
    assert h200 == Gpu("GPU-1b724e78-eef5-4163-d43c-e4da15d41176", "NVIDIA H200", 143771 * MEBIBYTE)
    assert laptop.name == "NVIDIA GeForce RTX 4070 Laptop GPU"
    assert memory() == {h200.uuid: (512, 143771), laptop.uuid: (0, 8188)}
    assert list_gpus(["1"]) == list_gpus([laptop.uuid]) == (laptop,)


def test_mig_devices_have_a_name_and_memory_of_their_own(folder: Path) -> None:
    nvidia_smi.install(folder, nvidia_smi.WITH_MIG)
    large, small = nvidia_smi.MIG
    assert list_gpus([small]) == (Gpu(small, "NVIDIA A100-SXM4-40GB MIG 2g.10gb", 9856 * MEBIBYTE),)
    every = {large: (4864, 19968), small: (25, 9856), nvidia_smi.WHOLE: (7, 40960)}
    assert memory() == every
    assert memory(small) == {small: every[small]}
    assert memory("0") == {large: every[large], small: every[small]}
    assert memory("MIG-0") == {}


@pytest.mark.parametrize(
    "described",
    ["", "<nvidia_smi_log/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><nvidia_smi_log/>"],
)
def test_an_answer_that_cannot_be_read_is_left_out(folder: Path, described: str) -> None:
    nvidia_smi.install(folder, (nvidia_smi.WITH_MIG[0], described))
    with pytest.raises(ValueError, match="driver"):
        read_memory()
    assert list_gpus() == ()
    assert memory() == {}


def test_the_driver_is_asked_rarely_and_its_absence_is_no_error() -> None:
    asked: list[Sequence[str]] = []

    def answer(arguments: Sequence[str]) -> str:
        asked.append(arguments)
        return nvidia_smi.WITH_MIG["-q" in arguments]

    collector = DeviceMemoryCollector(nvidia_smi.MIG, answer)
    list(collector.collect())
    list(collector.collect())
    assert asked == [["-L"], ["-q", "-x", "--id=GPU-feba7e40-d724-01ff-b00f-3a439a28a6c7"]]

    def fail(_: Sequence[str]) -> str:
        raise subprocess.TimeoutExpired("nvidia-smi", 5)

    assert [family.samples for family in DeviceMemoryCollector([], fail).collect()] == [[], []]

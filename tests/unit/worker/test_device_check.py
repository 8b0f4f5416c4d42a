"""A worker tries its GPU before its first job and after failures, and rests while it is lost."""

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.contracts.settings import Settings
from worker.fitness import Fitness
from worker.messages import PROBE
from worker.pipeline.job.device import DeviceUnavailableError
from worker.pipeline.process import main


class Server:
    """Forks nothing: a child ends with the code that is set."""

    def __init__(self) -> None:
        self.code, self.asked = 0, list[str]()

    def is_resting(self) -> bool:
        return False

    def start_child(self, request: Any, events: int) -> Any:
        del events
        assert request.needs.gpu
        self.asked.append((request.request).read_text())
        return SimpleNamespace(wait=lambda seconds: self.code if seconds else None)


def test_a_worker_whose_gpu_is_lost_claims_no_jobs_until_it_computes_again(tmp_path: Path) -> None:
    now, server = [0.0], Server()
    settings = Settings(data_dir=tmp_path, worker={"device": "cuda"})  # type: ignore[arg-type]
    store: Any = SimpleNamespace(check=lambda: None)
    fitness = Fitness(settings, store, server, threading.Event().is_set, lambda: now[0])  # type: ignore[arg-type]

    assert fitness.may_claim()
    now[0] += 6
    assert fitness.may_claim()
    assert server.asked == ["cuda"], "once, before the first job"

    server.code = 1
    assert fitness.note_failure("the worker's device failed"), "the worker is at fault"
    assert fitness.trouble == "the worker's device cuda does not compute"
    assert not fitness.may_claim()
    now[0] += 6
    assert not fitness.may_claim(), "it is tried again, and still lost"

    server.code = 0
    now[0] += 60
    assert fitness.may_claim()
    assert fitness.trouble is None


def test_a_probe_computes_on_the_device_that_its_file_names(tmp_path: Path) -> None:
    probe = tmp_path / PROBE
    probe.write_text("cpu")
    reader, writer = os.pipe()
    assert main(probe, writer) == 0
    for descriptor in (reader, writer):
        os.close(descriptor)


def test_a_probe_of_a_device_that_is_missing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    probe = tmp_path / PROBE
    probe.write_text("xpu")  # as CUDA where there is none, without its driver
    with pytest.raises(DeviceUnavailableError, match="xpu does not compute"):
        main(probe, -1)

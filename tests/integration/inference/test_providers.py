"""A provider that cannot run is refused before anything serves, and the message says what to do."""

import sys
from pathlib import Path

import onnxruntime as ort
import pytest

from app.cli.doctor.devices import check_devices
from app.cli.doctor.finding import Status
from app.cli.serve import ServeError, serve
from app.contracts.settings import InferenceSettings, Settings
from app.inference.provider import find_trouble
from app.server.__main__ import main
from app.serving import providers
from app.serving.sessions import RunError, open_session


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, inference={"provider": "cuda"})  # type: ignore[arg-type]


@pytest.mark.skipif(
    "CUDAExecutionProvider" in ort.get_available_providers(),
    reason="this machine may serve by CUDA",
)
def test_the_service_the_api_and_doctor_refuse_a_provider_that_cannot_run(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = find_trouble(settings)
    assert trouble is not None
    assert "has only" in trouble
    assert "CPUExecutionProvider" in trouble
    assert "onnxruntime-gpu[cuda,cudnn]" in trouble
    assert "SECATEUR_INFERENCE__PROVIDER=cpu" in trouble

    with pytest.raises(ServeError, match="onnxruntime-gpu"):
        serve(settings)
    assert not (tmp_path / "secateur.db").exists(), "nothing was started"

    monkeypatch.setattr(sys, "argv", ["app.server"])
    monkeypatch.setenv("SECATEUR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("SECATEUR_INFERENCE__PROVIDER", "tensorrt")
    with pytest.raises(SystemExit, match="is tensorrt, which cannot run here"):
        main()

    (found,) = [each for each in check_devices(settings) if each.name == "onnxruntime"]
    assert found.status is Status.FAIL
    assert "onnxruntime-gpu" in found.advice


def test_a_provider_that_falls_back_to_the_cpu_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    every = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    whole, asked = ort.InferenceSession, list[str]()

    def session(data: bytes, *arguments: object, **named: object) -> object:
        asked.append(str(named["providers"]))
        return whole(data, *arguments, **{**named, "providers": ["CPUExecutionProvider"]})  # type: ignore[arg-type]

    monkeypatch.setattr(ort, "get_available_providers", lambda: every)
    monkeypatch.setattr(ort, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(ort, "InferenceSession", session)
    missing = providers.find_missing("cuda")
    assert missing is not None
    assert "check the driver with nvidia-smi" in missing
    with pytest.raises(RunError, match="cuda no longer starts"):
        open_session(
            providers._smallest(), InferenceSettings(provider="cuda", gpu_memory_bytes=2**30)
        )
    assert "'gpu_mem_limit': '1073741824'" in asked[-1]
    assert "'use_tf32': '0'" in asked[-1]


def test_the_cpu_serves_without_a_question(tmp_path: Path) -> None:
    assert find_trouble(Settings(data_dir=tmp_path)) is None
    assert providers.find_missing("cpu") is None

"""A provider that cannot run is refused before anything serves, and the message says what to do."""

import contextlib
import sys
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from app.cli.doctor.devices import check_devices
from app.cli.doctor.finding import Status
from app.cli.doctor.versions import check_versions
from app.cli.serve import ServeError, serve
from app.contracts import installation
from app.contracts.settings import InferenceSettings, LimitSettings, Settings
from app.inference.provider import find_trouble
from app.server.__main__ import main
from app.serving import providers
from app.serving.calls import Calls, Limits
from app.serving.description import Cost
from app.serving.measure import measure
from app.serving.memory import Meter
from app.serving.sessions import RunError, Session, open_session, run
from worker.pipeline.report.report import versions


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


@pytest.mark.parametrize(
    ("name", "advice", "limit"),
    [
        ("cuda", "cuDNN's libraries", "'gpu_mem_limit': '1073741824'"),
        ("tensorrt", "libnvinfer", "'trt_max_workspace_size': '1073741824'"),
    ],
)
def test_a_provider_that_falls_back_to_the_cpu_is_noticed(
    name: Literal["cuda", "tensorrt"], advice: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = list(reversed(providers.NAMES.values()))
    whole, asked = ort.InferenceSession, list[str]()

    def session(data: bytes, *arguments: object, **named: object) -> object:
        asked.append(str(named["providers"]))
        return whole(data, *arguments, **{**named, "providers": ["CPUExecutionProvider"]})  # type: ignore[arg-type]

    monkeypatch.setattr(ort, "get_available_providers", lambda: every)
    monkeypatch.setattr(ort, "preload_dlls", lambda: None, raising=False)
    monkeypatch.setattr(ort, "InferenceSession", session)
    missing = providers.find_missing(name)
    assert missing is not None
    assert "check the driver with nvidia-smi" in missing
    assert advice in missing
    with pytest.raises(RunError, match=f"{name} no longer starts"):
        open_session(
            providers._smallest(), InferenceSettings(provider=name, gpu_memory_bytes=2**30)
        )
    assert limit in asked[-1]
    assert "'use_tf32': '0'" in asked[-1]


def test_the_cpu_serves_without_a_question(tmp_path: Path) -> None:
    assert find_trouble(Settings(data_dir=tmp_path)) is None
    assert providers.find_missing("cpu") is None


def test_the_process_that_serves_loads_the_libraries_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = list[str]()

    def preload() -> None:
        loaded.append("here")
        sys.stdout.write("Failed to load a part that is not needed")  # as the real one does

    monkeypatch.setattr(ort, "preload_dlls", preload, raising=False)
    providers.load_libraries("cpu")
    assert loaded == []
    Calls(Limits(InferenceSettings(provider="cuda"), LimitSettings()), Meter())
    assert loaded == ["here"]
    # What is printed there is the reason of a refusal.
    assert capsys.readouterr().out == ""


def test_onnxruntime_gpu_counts_as_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = installation.version

    def version(name: str) -> str:
        if name == "onnxruntime":
            raise PackageNotFoundError(name)
        return "1.31.1" if name == "onnxruntime-gpu" else whole(name)

    monkeypatch.setattr(installation, "version", version)
    assert versions()["onnxruntime"] == "1.31.1"
    found = {finding.name: finding for finding in check_versions()}
    assert found["packages"].status is Status.OK, found["packages"].detail
    with pytest.raises(PackageNotFoundError):
        installation.installed_version("no-such-distribution")


SHRINK = "memory.enable_memory_arena_shrinkage"


class Stub:
    """A session that says it computes by CUDA, computes on the CPU, and notes its runs."""

    def __init__(self, whole: ort.InferenceSession) -> None:
        self.whole, self.sizes, self.shrunk = whole, list[int](), list[str]()

    def __getattr__(self, name: str) -> object:
        return getattr(self.whole, name)

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def run(
        self, names: list[str], feeds: dict[str, np.ndarray], options: ort.RunOptions
    ) -> list[object]:
        self.sizes.append(len(feeds["x"]))
        with contextlib.suppress(RuntimeError):  # the run shrinks nothing
            self.shrunk.append(options.get_run_config_entry(SHRINK))
            options.add_run_config_entry(SHRINK, "cpu:0")  # here is no other
        return list(self.whole.run(names, feeds, options))


def open_stub(monkeypatch: pytest.MonkeyPatch, operator: str) -> tuple[Session, Stub]:
    """Return the measured session of a network of one operator over any number of items."""
    rows = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 3]) for name in "xy"]
    nodes = [helper.make_node(operator, ["x"], ["y"])]
    if operator == "ReduceMean":  # of the batch
        axis = helper.make_node("Constant", [], ["axis"], value_ints=[0])
        mean = helper.make_node("ReduceMean", ["x", "axis"], ["mean"])
        nodes = [axis, mean, helper.make_node("Sub", ["x", "mean"], ["y"])]
    graph = helper.make_graph(nodes, "g", rows[:1], rows[1:])
    opsets = [helper.make_opsetid("", 18)]
    data = helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString()
    whole = ort.InferenceSession
    with monkeypatch.context() as patch:
        cpu = ["CPUExecutionProvider"]
        patch.setattr(ort, "InferenceSession", lambda d, o, **_: Stub(whole(d, o, providers=cpu)))
        settings = InferenceSettings(provider="cuda", measure_seconds=0.01)
        session = open_session(data, settings)
    session = replace(session, model=measure(session, settings, Meter()))
    assert isinstance(session.runtime, Stub)
    return session, session.runtime


def test_a_gpu_sees_powers_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    session, stub = open_stub(monkeypatch, "Relu")
    assert session.model.is_independent
    x = np.random.default_rng(0).standard_normal((33, 3), np.float32)
    for count in range(1, 34):
        found, _ = run(session, {"x": x[:count]})
        np.testing.assert_array_equal(found["y"], np.maximum(x[:count], 0))
    assert all(size.bit_count() == 1 for size in stub.sizes)

    # 9 items, filled to 16, would need more memory than a run may take; 8 and 1 filled to 8 do not.
    cost = Cost(item_bytes=10, run_bytes=10, item_seconds=0.1)
    small = replace(session, model=replace(session.model, cost=cost), padded_bytes=100)
    stub.sizes.clear()
    found, _ = run(small, {"x": x[:9]})
    np.testing.assert_array_equal(found["y"], np.maximum(x[:9], 0))
    assert stub.sizes == [8, 8]


def test_a_run_returns_the_memory_of_the_gpu_too(monkeypatch: pytest.MonkeyPatch) -> None:
    session, stub = open_stub(monkeypatch, "Relu")
    x = {"x": np.ones((2, 3), np.float32)}
    stub.shrunk.clear()
    run(session, x)
    assert stub.shrunk == []
    run(session, x, is_shrunk=True)
    assert stub.shrunk == ["cpu:0;gpu:0"]


def test_items_that_change_each_other_are_not_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    session, stub = open_stub(monkeypatch, "ReduceMean")
    assert not session.model.is_independent
    stub.sizes.clear()
    x = np.arange(9, dtype=np.float32).reshape(3, 3)
    found, _ = run(session, {"x": x})
    np.testing.assert_allclose(found["y"], x - x.mean(0))
    assert stub.sizes == [3]

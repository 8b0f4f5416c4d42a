"""Export targets of a whole job: files, comparison, and scripts that give the answer of torch."""

import py_compile
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from app.contracts.report import Report
from app.contracts.spec import PreprocessSpec
from app.serving.description import TensorSpec
from app.serving.images import decode_images
from secateur.engine.errors import ExportError
from secateur.engine.export.targets.targets import TARGETS
from tests.fixtures import cells
from tests.fixtures.jobs import Recorder, dataset_input, request_for, save_model
from worker.pipeline import targets as job_targets
from worker.pipeline.prune import prune

BUILT = ("openvino", "ncnn")
SCRIPTS = ("tensorrt", "rknn", "hailo", "coreml")
PREPROCESS = PreprocessSpec(fit="letterbox", mean=(0.1, 0.2, 0.3), std=(0.9, 1.1, 1.2))


class TwoOutputs(nn.Module):
    """A detector's shape: a map of boxes and a map of scores."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 16, 3, 2, 1)
        self.boxes, self.scores = nn.Conv2d(16, 4, 1), nn.Conv2d(16, 3, 1)

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        y = nn.functional.hardswish(self.norm(self.first(image)))
        y = torch.relu(self.second(y))
        return {"boxes": self.boxes(y).flatten(2), "scores": self.scores(y).softmax(1)}


def run(folder: Path, export: dict[str, Any], module: nn.Module | None = None) -> Report:
    torch.manual_seed(0)
    model = save_model(module or TwoOutputs(), (torch.rand(2, 3, 32, 32),), folder / "model.pt2")
    data = cells.coco(cells.grids(12), folder)
    given = dataset_input(data, format="zip", preprocess=PREPROCESS)
    config = {"selection": {"mode": "ratio", "ratio": 0.3}, "export": export, "task": "custom"}
    request = request_for(model, folder, config, dataset=given)
    prune(request, Recorder())
    return Report.model_validate_json((request.output_dir / "report.json").read_text())


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Report]:
    folder = tmp_path_factory.mktemp("targets")
    return folder / "out", run(folder, {"targets": [*BUILT, *SCRIPTS], "opset": 13})


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 70, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_every_target_that_runs_agrees_with_torch_on_the_jobs_samples(
    job: tuple[Path, Report],
) -> None:
    folder, report = job
    assert [each.name for each in report.export_targets] == ["onnx", *BUILT, *SCRIPTS]
    for each in report.export_targets:
        assert each.refusal is None
        assert all((folder / name).is_file() for name in (*each.files, each.script or ""))
        if each.name in SCRIPTS:
            assert each.latency_seconds == ()
            continue
        assert each.max_absolute_error is not None
        assert each.allowed_error is not None
        assert each.max_absolute_error <= each.allowed_error
        assert each.num_samples > 3, "real samples, and three random ones"
        assert each.agreement == 1.0
        assert each.latency_seconds[0].p50 > 0
        assert each.speedups[0].low <= each.speedups[0].ratio <= each.speedups[0].high
    opset = onnx.load(folder / "model_opset13.onnx").opset_import[0].version
    assert (opset, report.export_targets[0].opset) == (13, 13)


@pytest.mark.parametrize("name", ["onnx", *BUILT])
def test_a_snippet_gives_the_answer_of_torch_for_an_image_file(
    job: tuple[Path, Report], photo: Path, tmp_path: Path, name: str
) -> None:
    folder, _ = job
    script, found = folder / TARGETS[name].script, tmp_path / "found.npz"
    read = runpy.run_path(str(script))["read"]
    assert read(str(photo)).flags.c_contiguous, "ExecuTorch ignores strides"
    done = subprocess.run([sys.executable, script, photo, found], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    x, _ = decode_images(
        [photo.read_bytes()], TensorSpec("image", (None, 3, 32, 32)), PREPROCESS, 10**6
    )
    module = torch.export.load(folder / "pruned.pt2").module()
    expected = module(torch.from_numpy(x))
    outputs = np.load(found)
    assert set(outputs) == set(expected) == {"boxes", "scores"}
    for key, values in expected.items():
        assert outputs[key].shape == tuple(values.shape)
        assert np.abs(outputs[key] - values.detach().numpy()).max() < 5e-3


def test_a_build_script_has_the_networks_own_inputs_and_preprocessing(
    job: tuple[Path, Report],
) -> None:
    folder, report = job
    scripts = {each.name: folder / (each.script or "") for each in report.export_targets}
    for name in ("tensorrt", "hailo"):
        subprocess.run(["/bin/sh", "-n", scripts[name]], check=True)
    for name in ("rknn", "coreml"):
        py_compile.compile(str(scripts[name]), doraise=True)
    assert "--optShapes=image:8x3x32x32" in scripts["tensorrt"].read_text()
    assert "--onnx=model_opset13.onnx" in scripts["tensorrt"].read_text()
    assert "mean_values=[[25.5, 51.0, 76.5]]" in scripts["rknn"].read_text()
    assert (
        "normalization([25.5, 51.0, 76.5], [229.5, 280.5, 306.0])" in scripts["hailo"].read_text()
    )
    assert "image=[1,3,32,32]" in scripts["hailo"].read_text()
    assert 'torch.export.load("pruned.pt2")' in scripts["coreml"].read_text()


def test_the_manifest_and_the_page_list_the_files_of_targets(job: tuple[Path, Report]) -> None:
    folder, report = job
    page = (folder / "report.html").read_text()
    assert "<td>openvino.xml, openvino.bin, run_openvino.py</td>" in page
    assert '<th scope="row">ncnn (float16 weights)</th>' in page
    manifest = (folder / "manifest.json").read_text()
    assert all(f'"{name}"' in manifest for each in report.export_targets for name in each.files)
    assert '"run_ncnn.py"' in manifest


class Warped(nn.Module):
    """A network whose sampling has no operator before opset 16."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        grid = y[:, :2].tanh().permute(0, 2, 3, 1)
        return self.last(nn.functional.grid_sample(y, grid, align_corners=False))


def test_an_opset_that_cannot_express_the_network_fails_before_pruning(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"opset 13 .*GridSample \(opset 16") as caught:
        run(tmp_path, {"opset": 13}, Warped())
    assert "export.opset to 16" in caught.value.hint
    assert not (tmp_path / "out" / "plan.json").exists()


def test_a_target_that_computes_something_else_is_left_out_with_its_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = TARGETS["openvino"]
    assert good.load is not None
    load = good.load

    def broken(path: str, num_threads: int) -> Any:
        run_right = load(path, num_threads)
        return lambda inputs: [values + 0.5 for values in run_right(inputs)]

    wrong = type(good)(**{**vars(good), "load": broken})
    monkeypatch.setattr("worker.pipeline.stages.intake.rehearse_targets", lambda _: None)
    monkeypatch.setattr(job_targets, "TARGETS", {"openvino": wrong})
    report = run(tmp_path, {"targets": ["openvino"]})
    (found,) = report.export_targets
    assert "differ from the network's by 0.5" in (found.refusal or "")
    assert (found.files, found.script) == ((), None)
    assert not (tmp_path / "out/openvino.xml").exists()
    assert [f.severity for f in report.findings if f.code == "target_refused"] == ["serious"]


def test_a_missing_package_fails_before_pruning_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = type(TARGETS["ncnn"])(**{**vars(TARGETS["ncnn"]), "modules": ("not_there",)})
    monkeypatch.setattr(job_targets, "TARGETS", {"ncnn": absent})
    with pytest.raises(ExportError, match="'ncnn', and this worker has no not_there") as caught:
        run(tmp_path, {"targets": ["ncnn"]})
    assert "[ncnn]'" in caught.value.hint


IN_SANDBOX = """
import sys, tempfile
from pathlib import Path
from types import SimpleNamespace
from app.sandbox.isolation import isolate
from app.sandbox.needs import Needs
import numpy as np
from secateur.engine.export.targets.build import build_files
from secateur.engine.export.targets.targets import TARGETS

onnx, folder, has_converter = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "True"
tempfile.tempdir = str(folder)
(folder / "model.onnx").write_bytes(onnx.read_bytes())
granted = isolate([folder], Needs(converter=has_converter))
source = SimpleNamespace(onnx=folder / "model.onnx", shapes=[[1, 3, 32, 32]])
for name in ("openvino", "ncnn"):
    target = TARGETS[name]
    build_files(target, source, folder)
    run = target.load(str(folder / target.files[0].name), 1)
    print(name, [values.shape for values in run([np.zeros((1, 3, 32, 32), np.float32)])])
print(granted)
"""


@pytest.mark.parametrize("has_converter", [True, False])
def test_targets_are_built_in_the_sandbox_and_programs_only_for_a_converter(
    job: tuple[Path, Report], tmp_path: Path, *, has_converter: bool
) -> None:
    if sys.platform != "linux":
        pytest.skip("the sandbox needs Linux")
    command = [sys.executable, "-c", IN_SANDBOX, job[0] / "model.onnx", tmp_path, has_converter]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert "openvino [(1, 4, 64), (1, 3, 8, 8)]" in done.stdout, done.stderr
    if has_converter:
        assert done.returncode == 0, done.stderr
        assert "ncnn [(1, 4, 64), (1, 3, 8, 8)]" in done.stdout
        assert "filter" in done.stdout
    else:
        assert "pnnx did not run" in done.stderr

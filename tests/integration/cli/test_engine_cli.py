"""``secateur-engine`` in a process of its own, with real files."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from app.contracts.spec import PruneConfig
from secateur.commands import engine
from secateur.engine.export.formats import EXPORT_FORMATS
from secateur.engine.export.session import OnnxSession
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.reader import read_program
from secateur.torch import load_pruned
from tests.fixtures.commands import run_command
from tests.fixtures.jobs import save_model
from tests.fixtures.latencies import as_csv, latency_rows
from tests.fixtures.networks import SmallNet, randomise
from worker.cli.local import LocalError, local_request


def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "160"}
    found = run_command(
        "secateur.commands:engine", ["secateur-engine", *arguments], Path.cwd(), environment
    )
    assert found.returncode == code, found.stderr + found.stdout
    return found


def engine_here(*arguments: object, code: int = 0) -> None:
    """Run the command in this process: a new one imports torch for seconds."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["secateur-engine", *map(str, arguments)])
        patched.setenv("COLUMNS", "160")
        with pytest.raises(SystemExit) as ended:
            engine()
    assert (ended.value.code or 0) == code


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine")
    for seed in (0, 1):
        torch.manual_seed(seed)
        net = randomise(SmallNet(16), seed)
        save_model(net, (torch.randn(2, 1, 8, 8),), folder / f"model{seed}.pt2")
    random = np.random.default_rng(0)
    y = np.arange(240) % 4
    x = random.integers(0, 64, (240, 8, 8), dtype=np.uint8)
    x[np.arange(240), 2 * y] += 128
    np.savez(folder / "data.npz", x=x, y=y)
    save_file({"weight": torch.zeros(1)}, folder / "weights.safetensors")
    return folder


@pytest.fixture(scope="module")
def pruned(folder: Path) -> dict[str, Any]:
    found = run(
        "prune", folder / "model0.pt2", "--macs", 0.5, "--round-to", 4, "--data",
        folder / "data.npz", "--epochs", 1, "--criterion", "taylor", "--compare", "--sanity", "off",
        "--out", folder / "pruned", "--json",
    )  # fmt: skip
    result: dict[str, Any] = json.loads(found.stdout)
    return result


def test_inspect_shows_layers_groups_and_frozen_channels(folder: Path) -> None:
    text = run("inspect", folder / "model0.pt2").stdout
    for expected in (
        "conv1.weight",
        "fc.weight[0]",
        "reaches the network's output",
        "Reachable",
        "At a ratio of 0.5",
    ):
        assert expected in text
    body = json.loads(run("inspect", folder / "model0.pt2", "--json").stdout)
    assert [layer["weight"] for layer in body["layers"]] == [
        "conv1.weight", "conv2.weight", "conv3.weight", "fc.weight",
    ]  # fmt: skip
    assert sum(layer["macs"] for layer in body["layers"]) == body["macs"]
    assert body["least"]["macs"] < body["macs"]
    assert "networks.py" in body["layers"][0]["source"]
    assert [frozen["tensor"] for frozen in body["frozen"]] == ["fc.weight"]


def test_prune_runs_the_whole_job(folder: Path, pruned: dict[str, Any]) -> None:
    summary = pruned["summary"]
    assert summary["retrained"]["macs"] <= 0.5 * summary["dense"]["macs"]
    report = json.loads((folder / "pruned" / "report.json").read_text())
    assert len(report["history"]) == 1
    assert set(report["criteria_agreement"]) >= {"l1", "taylor", "random"}
    names = {path.name for path in (folder / "pruned").iterdir()}
    exported = {each.file for each in EXPORT_FORMATS.values()}
    assert names == exported | {
        "manifest.json", "plan.json", "report.html", "report.json", "saliency_curves.svg",
    }  # fmt: skip


def test_a_device_that_measured_the_layers_is_a_target(folder: Path, tmp_path: Path) -> None:
    bench, table, config = (tmp_path / name for name in ("a.bench", "a.csv", "config.json"))
    run("bench", folder / "model0.pt2", "-o", bench)
    table.write_bytes(as_csv(latency_rows(json.loads(bench.read_text()))))
    selection = {"mode": "budget", "latency": 0.6, "round_to": "auto", "target": str(table)}
    body = {"selection": selection, "export": {"formats": ["pt2"]}}
    config.write_text(json.dumps(body))
    run("prune", folder / "model0.pt2", "--config", config, "--out", tmp_path / "pruned")
    target = json.loads((tmp_path / "pruned" / "report.json").read_text())["target"]
    assert target["name"] == "a.csv"
    assert target["predicted"] <= 0.6


def test_a_target_that_is_no_file_is_refused(folder: Path, tmp_path: Path) -> None:
    selection = {"mode": "budget", "latency": 0.6, "target": "my-board"}
    config = PruneConfig.model_validate({"selection": selection})
    request = local_request(folder / "model0.pt2", None, config, None, tmp_path / "o", "cpu", 0)
    with pytest.raises(LocalError, match="'my-board', and there is no such file"), request:
        pass


def test_quantize_writes_the_int8_file_of_any_model(folder: Path, tmp_path: Path) -> None:
    model, output = folder / "model0.pt2", tmp_path / "int8.onnx"
    engine_here("quantize", model, "--data", folder / "data.npz", "--target", "arm", "-o", output)
    batch = (torch.randn(4, 1, 8, 8),)
    kinds = Counter(node.op_type for node in onnx.load(output).graph.node)
    assert kinds["QuantizeLinear"] > 1
    fp32 = ProgramModule(read_program(model))(*batch)
    assert OnnxSession(output)(batch)[0].shape == fp32.shape


def test_quantize_says_why_there_is_no_int8_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(nn.AvgPool2d(4), (torch.randn(2, 1, 8, 8),), tmp_path / "pool.pt2")
    np.savez(tmp_path / "x.npz", x=np.zeros((40, 8, 8), np.uint8))
    output = tmp_path / "int8.onnx"
    arguments = ("quantize", tmp_path / "pool.pt2", "--data", tmp_path / "x.npz", "-o", output)
    engine_here(*arguments, code=1)
    assert "No int8 file: the network has no Conv" in capsys.readouterr().err
    assert not output.exists()


def test_a_file_for_timing_needs_no_data_and_says_so(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "int8.onnx"
    engine_here("quantize", folder / "model0.pt2", "--for-timing", "-o", output)
    assert "use its answers for nothing" in capsys.readouterr().out
    assert len(OnnxSession(output)((torch.randn(3, 1, 8, 8),))[0]) == 3


def test_apply_replays_the_plan_on_other_weights(folder: Path, pruned: dict[str, Any]) -> None:
    out = folder / "applied"
    plan = folder / "pruned" / "plan.json"
    body = json.loads(run("apply", plan, folder / "model1.pt2", "--out", out, "--json").stdout)
    assert body["pruned"]["macs"] == pruned["summary"]["retrained"]["macs"]
    assert body["exact_groups_float64_max_relative_error"] < 1e-9
    assert (out / "plan.json").read_bytes() == plan.read_bytes()
    axes = {
        (axis["tensor"], axis["dim"]): axis["kept"] for axis in json.loads(plan.read_text())["axes"]
    }
    dense = read_program(folder / "model1.pt2").tensors["conv1.weight"]
    kept = axes["conv1.weight", 0]
    assert torch.equal(load_file(out / "weights.safetensors")["conv1.weight"], dense[kept])


def test_the_users_own_class_takes_the_pruned_weights(folder: Path, pruned: dict[str, Any]) -> None:
    del pruned
    net = load_pruned(folder / "pruned" / "weights.safetensors", SmallNet(16)).eval()
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        expected = ProgramModule(read_program(folder / "pruned" / "pruned.pt2")).eval()(x)
        assert torch.allclose(net(x), expected, atol=1e-6)
    assert net.conv1.out_channels == net.conv1.weight.shape[0] < 16


def test_weights_by_architecture(folder: Path) -> None:
    torch.manual_seed(0)
    import torchvision  # noqa: PLC0415  # only this test needs it

    net = torchvision.models.squeezenet1_1(num_classes=3)
    path = folder / "squeeze.safetensors"
    save_file({k: t.contiguous() for k, t in net.state_dict().items()}, path)
    options = ("--architecture", "torchvision/squeezenet1_1", "--num-classes", 3)
    body = json.loads(run("inspect", path, *options, "--image-size", 64, "--json").stdout)
    assert body["num_parameters"] == sum(p.numel() for p in net.parameters())


class Depthwise(nn.Module):
    """Depthwise convolution, GroupNorm and LayerNorm: every attribute that follows a width."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.dw = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 16, 3, groups=16)
        self.up, self.norm = nn.ConvTranspose2d(16, 12, 2, 2), nn.GroupNorm(4, 12)
        self.fc1, self.ln, self.fc2 = nn.Linear(12, 10), nn.LayerNorm(10), nn.Linear(10, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.up(torch.relu(self.dw(torch.relu(self.a(x)))))))
        y: torch.Tensor = self.fc2(torch.relu(self.ln(self.fc1(x.mean((2, 3))))))
        return y


def test_a_class_with_every_kind_of_width(tmp_path: Path) -> None:
    torch.manual_seed(0)
    save_model(randomise(Depthwise()), (torch.randn(2, 1, 8, 8),), tmp_path / "m.pt2")
    run(
        "prune", tmp_path / "m.pt2", "--ratio", 0.5, "--round-to", 1, "--min-channels", 1,
        "--out", tmp_path / "out",
    )  # fmt: skip
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {part["op"] for part in report["equivalence"]["inexact"]} == {"group_norm", "layer_norm"}
    assert report["equivalence"]["exact_groups_float64_max_relative_error"] < 1e-9
    net = load_pruned(tmp_path / "out" / "weights.safetensors", Depthwise()).eval()
    x = torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        expected = ProgramModule(read_program(tmp_path / "out" / "pruned.pt2")).eval()(x)
        assert torch.allclose(net(x), expected, atol=1e-5)
    assert net.dw.groups == net.dw.in_channels == 8


class MixedWeights(nn.Module):
    """Kernels mixed for every sample, which ONNX cannot hold: its groups are the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.deep, self.route = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 6, 1), nn.Linear(6, 2)
        self.experts, self.head = nn.Parameter(torch.randn(2, 5, 6, 1, 1)), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.deep(torch.relu(self.stem(x))))
        kernels = self.route(x.mean((2, 3))).softmax(1) @ self.experts.flatten(1)
        mixed = nn.functional.conv2d(
            x.reshape(1, -1, 6, 6), kernels.view(-1, 6, 1, 1), groups=x.shape[0]
        )
        y: torch.Tensor = self.head(mixed.view(x.shape[0], 5, 6, 6).mean((2, 3)))
        return y


def test_a_network_that_onnx_cannot_represent_is_pruned_without_it(tmp_path: Path) -> None:
    model, out = tmp_path / "m.pt2", tmp_path / "out"
    save_model(randomise(MixedWeights()), (torch.randn(2, 1, 8, 8),), model)
    options = ("--ratio", 0.5, "--round-to", 1, "--min-channels", 1)
    run("prune", model, *options, "--out", out)
    report = json.loads((out / "report.json").read_text())
    (note,) = [note for note in report["notes"] if "there is no model.onnx" in note]
    assert "has a group for every sample" in note
    assert not (out / "model.onnx").exists()
    assert report["onnx_max_absolute_error"] is None
    assert report["retrained"]["latency_seconds"] == []
    assert report["equivalence"]["float64_max_relative_error"] < 1e-9
    assert read_program(out / "pruned.pt2").parameters()["stem.weight"].shape[0] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prune", "{model}", "--out", "{out}", "--macs", "1.5"), "below 1"),
        (("prune", "{model}", "--out", "{out}", "--macs", "0.5", "--ratio", "0.5"), "one of"),
        (("prune", "{model}", "--out", "{out}", "--criterion", "loss"), "needs --data"),
        (
            ("prune", "{model}", "--out", "{out}", "--round-to", "x"),
            "must be a whole number or auto, not 'x'",
        ),
        (("prune", "{model}", "--out", "{folder}", "--ratio", "0.5"), "not an empty folder"),
        (("prune", "{model}", "--out", "{out}", "--macs", "0.001"), "is left. Ask for "),
        (("prune", "{model}", "--out", "{out}", "--data", "{model}"), "a model, not a data set"),
        (("inspect", "{data}"), "secateur-engine: "),
        (("inspect", "{weights}"), "needs --architecture"),
        (("apply", "{data}", "{model}", "--out", "{out}"), "secateur-engine: "),
        (("quantize", "{model}", "-o", "{out}"), "int8 needs samples: give --data, or "),
        (("quantize", "{model}", "-o", "{out}", "--data", "{data}", "--for-timing"), "int8 needs"),
        (
            ("quantize", "{model}", "--for-timing", "--target", "x"),
            "target must be one of auto, vnni",
        ),
    ],
    ids=range(13),
)
def test_mistakes_are_reported_in_one_line(
    arguments: tuple[str, ...],
    message: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = {
        "model": folder / "model0.pt2", "data": folder / "data.npz", "out": tmp_path / "out",
        "folder": folder, "weights": folder / "weights.safetensors",
    }  # fmt: skip
    engine_here(*(argument.format(**names) for argument in arguments), code=1)
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said

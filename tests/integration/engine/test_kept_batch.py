"""Networks whose batch stays fixed: everything that runs samples does so in runs of its size."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

import secateur
from app.contracts.settings import InferenceSettings
from app.serving.measure import measure
from app.serving.memory import Meter
from app.serving.sessions import open_session, run
from secateur.engine.export.onnx import compare_onnx, export_onnx
from secateur.engine.graph import analyse
from secateur.engine.measure import count_macs
from secateur.engine.metrics import evaluate
from secateur.engine.onnx_in.reader import read_onnx
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.program.reader import read_program
from secateur.engine.pruning import prune_program
from secateur.engine.retrain.batch_norm import recalibrate
from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
from secateur.engine.samples import TensorSource
from secateur.engine.selection import Ratio, SelectionOptions
from tests.fixtures.networks import randomise
from tests.fixtures.onnx_graphs import drawn, network, node, saved

X = torch.randn(11, 1, 6, 6, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(11) % 4
HALF = SelectionOptions(Ratio(0.5), round_to=1, min_channels=1)


class Net(nn.Module):
    """Convolutions with BatchNorm, and a head that its ``form`` binds to the batch."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.conv1, self.bn1 = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12)
        self.fc = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y))).mean((2, 3))
        if self.form == "loop":
            y = torch.stack([row * 2 for row in y])
        logits: Tensor = self.fc(y)
        return logits.squeeze(0) if self.form == "squeezed" else logits


CASES = [("squeezed", 1), ("loop", 4)]


@cache
def kept(form: str, batch: int) -> tuple[nn.Module, Program]:
    net = randomise(Net(form))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt2"
        torch.export.save(torch.export.export(net, (X[:batch],)), path)
        return net, read_program(path)


def expected(net: nn.Module, batch: int, x: Tensor = X) -> Tensor:
    with torch.no_grad():
        filled = x[torch.arange(-(-len(x) // batch) * batch) % len(x)]
        return torch.cat([net(part).view(batch, 4) for part in filled.split(batch)])[: len(x)]


@pytest.mark.parametrize(("form", "batch"), CASES)
def test_costs_are_those_of_one_sample(form: str, batch: int) -> None:
    _, program = kept(form, batch)
    assert program.batch_size == batch
    assert count_macs(program) == 36 * 9 * (8 + 8 * 12) + 12 * 4


@pytest.mark.parametrize(("form", "batch"), CASES)
def test_criteria_score_all_samples(form: str, batch: int) -> None:
    """Samples that fill whole runs: a run of several samples leaves out the rest."""
    _, program = kept(form, batch)
    free = secateur.engine.from_exported(secateur.torch.export_live(Net("free").eval(), X[:2]))
    free = free.with_tensors(program.tensors)
    x, labels = X[:8], LABELS[:8]
    for name in ("taylor", "jacobian", "reconstruction", "loss"):
        found, wanted = (
            CRITERIA[name](
                each, analyse(each), (CalibrationBatch((x,), labels),), SaliencyOptions()
            )
            for each in (program, free)
        )
        if form == "squeezed":  # the loop doubles what the head reads
            for family, scores in wanted.items():
                torch.testing.assert_close(found[family], scores, rtol=1e-4, atol=1e-6)
        assert all(scores.isfinite().all() for scores in found.values())


@pytest.mark.parametrize("repair", [True, False])
@pytest.mark.parametrize(("form", "batch"), CASES)
def test_a_kept_batch_is_pruned_repaired_certified_and_written(
    form: str, batch: int, repair: bool, tmp_path: Path
) -> None:
    _, program = kept(form, batch)
    batches = (CalibrationBatch((X[:7],)), CalibrationBatch((X[7:],)))
    found = prune_program(program, HALF, batches=batches, is_repaired=repair)
    assert found.plan.num_removed == 10
    assert found.certificate.is_exact
    assert found.certificate.float64.max_relative_error < 1e-12
    assert found.num_repair_samples == (11 if repair else 0)
    (wanted,) = ProgramModule(found.program).eval().run((X,))
    path = tmp_path / "pruned.onnx"
    export_onnx(found.program, path)
    assert compare_onnx(found.program, path, [(X,), (X[:1],)]) < 1e-5
    (value,) = onnx.load(path).graph.input
    assert value.type.tensor_type.shape.dim[0].dim_value == batch
    secateur.engine.write_program(found.program, tmp_path / "pruned.pt2")
    again = read_program(tmp_path / "pruned.pt2")
    assert again.batch_size == batch
    torch.testing.assert_close(ProgramModule(again).eval().run((X,))[0], wanted)
    live = torch.export.load(tmp_path / "pruned.pt2").module()
    assert live(X[:batch]).shape == ((4,) if form == "squeezed" else (batch, 4))


@pytest.mark.parametrize(("form", "batch"), CASES)
def test_evaluation_and_recalibration_see_every_sample_once(form: str, batch: int) -> None:
    net, program = kept(form, batch)
    found = evaluate(program, TensorSource(X, LABELS), torch.arange(11), batch_size=5)
    answers = torch.cat([expected(net, batch, part) for part in X.split(5)]).argmax(1)
    assert found.values["top1"] == pytest.approx(float((answers == LABELS).float().mean()))
    settled = recalibrate(program, X[:8].split(3))
    first = settled.tensors["bn1.running_mean"], settled.tensors["bn1.running_var"]
    with torch.no_grad():
        y = net.conv1(X[:8]).transpose(0, 1).flatten(1)
    torch.testing.assert_close(first, (y.mean(1), y.var(1)))


@pytest.mark.parametrize(("form", "batch"), CASES)
def test_a_kept_batch_is_served_for_any_number_of_items(
    form: str, batch: int, tmp_path: Path
) -> None:
    net, program = kept(form, batch)
    export_onnx(program, tmp_path / "model.onnx")
    session = open_session((tmp_path / "model.onnx").read_bytes(), InferenceSettings())
    model = measure(session, InferenceSettings(max_batch_items=4), Meter())
    assert (model.inputs[0].shape, model.outputs[0].shape) == ((None, 1, 6, 6), (None, 4))
    assert model.is_independent
    name = model.inputs[0].name
    for count in (1, 4, 11):
        found, _ = run(session, {name: X[:count].numpy()})
        (answer,) = found.values()
        np.testing.assert_allclose(answer, expected(net, batch, X[:count]).numpy(), atol=1e-4)


def test_an_exported_program_in_memory_keeps_its_batch() -> None:
    exported = torch.export.export(randomise(Net("loop")), (X[:4],))
    pruned = secateur.prune(exported, ratio=0.5, round_to=1, min_channels=1, data=[X])
    assert pruned.program.batch_size == 4
    assert pruned.module(X[:4]).shape == (4, 4)


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (network(node("ReduceMean", "x"), x=(1, 3, 8, 8)), 1),
        (
            network(
                node("Conv", "x w", "c"), node("ReduceMean", "c i", "m"), node("Sub", "c m"),
                x=(4, 3, 8, 8), weights={"i": np.array([0]), "w": drawn(5, 3, 3, 3)},
            ),
            4,
        ),
        (
            network(
                node("Transpose", "x", "t", perm=[1, 0, 2, 3]), node("Reshape", "t s"),
                x=(1, 3, 8, 8), weights={"s": np.array([24, 8])},
            ),
            1,
        ),
    ],
    ids=["a mean of all", "a mean of four samples", "mixed samples"],
)  # fmt: skip
def test_an_onnx_file_keeps_a_batch_that_cannot_be_made_dynamic(
    model: onnx.ModelProto, batch: int, tmp_path: Path
) -> None:
    program = read_onnx(saved(model, tmp_path))
    assert program.batch_size == batch
    assert "Every run takes" in program.batch_note
    assert program.origin is not None
    assert not any("any number" in note for note in program.origin.notes)
    export_onnx(program, tmp_path / "out.onnx")
    assert compare_onnx(program, tmp_path / "out.onnx", [program.example_inputs(6)]) < 1e-5

"""Whole jobs for networks with several inputs, several outputs and dict outputs."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from secateur.engine.export.onnx import export_onnx
from secateur.engine.export.weights import write_weights
from secateur.engine.graph import analyse
from secateur.engine.plan import make_plan
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.reader import read_program
from secateur.engine.surgery import certify, compact, mask_program
from secateur.torch import load_pruned
from tests.fixtures.jobs import Recorder, request_for, save_model
from tests.fixtures.networks import randomise
from worker.pipeline.prune import prune


class TwoInputs(nn.Module):
    """Two images of different sizes, joined."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.bn = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.b = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.mix, self.fc = nn.Conv2d(14, 8, 1), nn.Linear(8, 3)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        joined = torch.cat([torch.relu(self.bn(self.a(x))), torch.relu(self.b(y))], 1)
        logits: Tensor = self.fc(torch.relu(self.mix(joined)).mean((2, 3)))
        return logits


class DictOutput(nn.Module):
    """A detector's shape: a dict of scores and a list of boxes at two scales."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.deep = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.scores = nn.Conv2d(16, 5, 1)
        self.small, self.large = nn.Conv2d(8, 4, 1), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> dict[str, object]:
        stem = torch.relu(self.bn(self.stem(x)))
        deep = torch.relu(self.deep(stem))
        return {"scores": self.scores(deep), "boxes": [self.small(stem), self.large(deep)]}


class Recogniser(nn.Module):
    """A text recogniser's shape: convolutions, then a recurrent layer along the width."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.rnn = nn.LSTM(8, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        columns = torch.relu(self.bn(self.conv(x))).mean(2).transpose(1, 2)
        letters: Tensor = self.head(self.rnn(columns)[0])
        return letters


class Conditioned(nn.Module):
    """A denoiser's shape: an image as bytes, a step as an integer, and a switch per sample."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.steps = nn.Conv2d(1, 8, 3, padding=1), nn.Embedding(4, 8)
        self.out = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, image: Tensor, step: Tensor, is_on: Tensor) -> Tensor:
        y = self.conv(image.float() / 255) + self.steps(step)[:, :, None, None]
        z: Tensor = self.out(torch.relu(y) * is_on[:, None, None, None])
        return z


def test_inputs_of_integers_and_booleans(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = randomise(Conditioned())
    batch = (
        torch.randint(256, (3, 1, 8, 8), dtype=torch.uint8),
        torch.tensor([0, 3, 1]),
        torch.tensor([True, False, True]),
    )
    save_model(net, batch, tmp_path / "model.pt2")
    program = read_program(tmp_path / "model.pt2")
    torch.testing.assert_close(ProgramModule(program).eval()(*batch), net(*batch))
    analysis = analyse(program)
    assert [(f.name, f.num_groups) for f in analysis.families] == [("conv.weight", 8)]
    keeps = {"conv.weight": torch.arange(8) % 2 == 0}
    plan = make_plan(program, analysis, keeps)
    smaller, path = compact(program, analysis, plan), tmp_path / "model.onnx"
    certify(mask_program(program, plan), smaller, [batch])
    export_onnx(smaller, path)
    session = ort.InferenceSession(path)
    feed = {value.name: x.numpy() for value, x in zip(session.get_inputs(), batch, strict=True)}
    expected = ProgramModule(smaller).eval()(*batch).detach().numpy()
    np.testing.assert_allclose(session.run(None, feed)[0], expected, atol=1e-5)
    write_weights(smaller, tmp_path / "weights.safetensors")
    fitted = load_pruned(tmp_path / "weights.safetensors", Conditioned())
    np.testing.assert_allclose(fitted(*batch).detach().numpy(), expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The tensor attributes:UserWarning")  # the exporter's own
@pytest.mark.parametrize(
    ("model", "shapes"),
    [
        (TwoInputs, [(1, 8, 8), (3, 16, 16)]),
        (DictOutput, [(1, 8, 8)]),
        (Recogniser, [(1, 8, 12)]),
    ],
    ids=["two-inputs", "dict-output", "recogniser"],
)
def test_the_whole_job(
    model: type[nn.Module], shapes: list[tuple[int, ...]], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    net = randomise(model())
    inputs = tuple(torch.randn(2, *shape) for shape in shapes)
    path = save_model(net, inputs, tmp_path / "model.pt2")
    config = {"selection": {"mode": "ratio", "ratio": 0.5, "round_to": 1, "min_channels": 1}}
    done = prune(request_for(path, tmp_path, config), Recorder())
    assert done.result["summary"]["equivalence"]["is_exact"]
    pruned = read_program(tmp_path / "out" / "pruned.pt2")
    batch = tuple(torch.randn(3, *shape) for shape in shapes)
    with torch.no_grad():
        dense, smaller = net(*batch), ProgramModule(pruned).eval()(*batch)
    flat_dense, tree = torch.utils._pytree.tree_flatten(dense)
    flat, smaller_tree = torch.utils._pytree.tree_flatten(smaller)
    assert smaller_tree == tree
    assert [x.shape for x in flat] == [x.shape for x in flat_dense]
    session = ort.InferenceSession(tmp_path / "out" / "model.onnx")
    feed = {value.name: x.numpy() for value, x in zip(session.get_inputs(), batch, strict=True)}
    for found, expected in zip(session.run(None, feed), flat, strict=True):
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)
    assert done.result["summary"]["retrained"]["macs"] < done.result["summary"]["dense"]["macs"]

"""Whole jobs for networks with several inputs, several outputs and dict outputs."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from secateur.engine.program.module import ProgramModule
from secateur.engine.program.reader import read_program
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


@pytest.mark.parametrize(
    ("model", "shapes"),
    [(TwoInputs, [(1, 8, 8), (3, 16, 16)]), (DictOutput, [(1, 8, 8)])],
    ids=["two-inputs", "dict-output"],
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

"""The diagram of a network: layers, what joins them, and what reads what."""

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.graph import analyse
from secateur.engine.program.exported import export, from_exported
from tests.fixtures.networks import randomise
from worker.pipeline.report import diagram as module
from worker.pipeline.report.describe import verdict


class Residual(nn.Module):
    """A residual block with a shortcut, then a block that squeezes and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.first = nn.Conv2d(4, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.shortcut = nn.Conv2d(4, 8, 1)
        self.squeeze = nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = self.norm(self.first(x)) + self.shortcut(x)
        x = x * self.squeeze(x.mean((2, 3), keepdim=True)).sigmoid()
        x = x.mean((2, 3))
        found: Tensor = self.head(x.reshape(x.shape[0], -1))
        return found


def test_a_diagram_shows_layers_sums_and_what_they_read() -> None:
    program = from_exported(export(randomise(Residual()), (torch.randn(2, 1, 9, 9),)))
    analysis = analyse(program)
    found = verdict(program, analysis)
    names = [each["weight"].partition(".")[0] for each in found["layers"]]

    def words(node: dict[str, object]) -> str:
        layers = node.get("layers")
        return names[layers[0]] if isinstance(layers, list) else str(node["op"])

    shown = [
        (words(node), [words(found["diagram"][place]) for place in node["reads"]])
        for node in found["diagram"]
    ]
    assert shown == [
        ("input", []),
        ("stem", ["input"]),
        ("first", ["stem"]),
        ("shortcut", ["stem"]),
        ("add", ["first", "shortcut"]),
        ("squeeze", ["add"]),
        ("mul", ["add", "squeeze"]),
        ("head", ["mul"]),
    ]


def test_a_network_of_too_many_layers_has_no_diagram(monkeypatch: pytest.MonkeyPatch) -> None:
    program = from_exported(export(randomise(Residual()), (torch.randn(2, 1, 9, 9),)))
    monkeypatch.setattr(module, "_MOST_NODES", 7)
    assert verdict(program, analyse(program))["diagram"] == []

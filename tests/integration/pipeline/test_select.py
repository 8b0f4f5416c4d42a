"""Selection from inputs to a plan: clear errors if nothing can be pruned, cached measurements."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from app.contracts.job import Stage
from app.contracts.spec import PruneConfig
from secateur.engine.errors import DataError, NothingPrunableError, PlanError
from tests.fixtures.jobs import Recorder, request_for, save_model
from tests.fixtures.networks import SmallNet, randomise
from worker.pipeline.job.inputs import open_inputs
from worker.pipeline.job.results import Choice
from worker.pipeline.stages.saliency import measure_saliency
from worker.pipeline.stages.select import choose


class Pinned(nn.Module):
    """A network whose only convolution is its output."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.conv(x)
        return y


class NoLayers(nn.Module):
    """A network without convolutions or linear layers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x).mean((2, 3))


def constant_net() -> nn.Module:
    """Return a network in which all filters of a layer have the same norm."""
    net = SmallNet()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.fill_(0.1)
    return net


def chosen(model: nn.Module, folder: Path, **config: Any) -> tuple[Choice, Recorder]:
    path = save_model(model, (torch.randn(2, 1, 8, 8),), folder / "model.pt2")
    reporter = Recorder()
    reporter.begin(Stage.SELECT)  # progress belongs to a stage
    inputs = open_inputs(request_for(path, folder, config), reporter)
    return choose(inputs, measure_saliency(inputs)), reporter


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Pinned, r"every layer .* is frozen \(conv.weight: reaches the network's output\)"),
        (NoLayers, "no convolution or linear layer"),
    ],
    ids=["frozen", "no-layers"],
)
def test_a_network_without_prunable_channels_gets_a_clear_error(
    build: Callable[[], nn.Module], message: str, tmp_path: Path
) -> None:
    with pytest.raises(NothingPrunableError, match=message):
        chosen(build(), tmp_path)


def test_a_network_at_its_minimum_width_gets_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(NothingPrunableError, match=r"within the limits .*min_channels 16"):
        chosen(randomise(SmallNet(8)), tmp_path, selection={"min_channels": 16})


def test_constant_saliencies_prune_nothing_with_a_note(tmp_path: Path) -> None:
    found, reporter = chosen(constant_net(), tmp_path, selection={"round_to": 1})
    assert found.plan.num_removed == 0
    assert "removes nothing" in reporter.warnings[-1]
    assert "constant" in reporter.warnings[-1]


def test_a_budget_out_of_reach_names_the_nearest_point(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"budget of 0.01 of the macs .* narrowest 0\.\d+ is left"):
        chosen(randomise(SmallNet()), tmp_path, selection={"mode": "budget", "macs": 0.01})


def test_comparing_criteria_needs_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="compare needs a data set"):
        chosen(randomise(SmallNet()), tmp_path, criterion={"compare": True})


def test_a_measured_plan_is_met_and_found_again_by_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Measurements vary between runs, so an attempt after a crash must reuse the plan."""
    monkeypatch.setattr("secateur.engine.latency.fit._MAX_TRIALS", 2)  # each takes seconds
    selection = {"mode": "budget", "latency": 0.9, "round_to": "auto", "batch_size": 4}
    net = randomise(SmallNet(64))
    first, reporter = chosen(net, tmp_path, selection=selection)
    assert min(measured for _, measured in first.latency_trials) <= 0.9
    assert any("of the dense latency" in getattr(m, "message", "") for m in reporter.messages)
    second, _ = chosen(net, tmp_path, selection=selection)
    assert second.latency_trials == ()
    assert second.plan.to_json() == first.plan.to_json()
    third, _ = chosen(net, tmp_path, selection={**selection, "latency": 0.89})
    assert third.latency_trials != ()


def test_a_budget_in_int8_is_met_by_the_faster_of_the_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secateur.engine.latency.fit._MAX_TRIALS", 2)
    selection = {"mode": "budget", "latency": 0.9, "round_to": "auto", "precision": "int8"}
    config = {"selection": selection, "precision": {"kind": "int8"}}
    found, reporter = chosen(randomise(SmallNet(64)), tmp_path, **config)
    assert min(measured for _, measured in found.latency_trials) <= 0.9
    assert len(found.trial_precisions) == len(found.latency_trials)
    said = [getattr(m, "message", "") for m in reporter.messages]
    assert any(f"of the dense latency in {found.trial_precisions[0]}" in text for text in said)


def test_a_selection_in_int8_needs_an_int8_file() -> None:
    selection = {"mode": "budget", "latency": 0.5, "precision": "int8"}
    with pytest.raises(ValueError, match=r"ask for one with precision\.kind 'int8'"):
        PruneConfig.model_validate({"selection": selection})

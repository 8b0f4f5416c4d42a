"""BatchNorm that an exporter has folded comes back for training, and goes again."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.errors import EquivalenceError
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program, Role
from secateur.engine.retrain.batch_norm import recalibrate, statistics
from secateur.engine.retrain.unfolding import Unfolded, unfold
from secateur.engine.surgery.certificate import deviation

X = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 3 + 1


class Folded(nn.Module):
    """Five convolutions that had BatchNorm, and those that never have one."""

    def __init__(self, num_layers: int = 5) -> None:
        super().__init__()
        self.body = nn.ModuleList(
            nn.Conv2d(3 if n == 0 else 8, 8, 3, padding=1) for n in range(num_layers)
        )
        self.gate, self.normed = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.without_bias = nn.Conv2d(8, 8, 1, bias=False)
        self.norm, self.last = nn.GroupNorm(2, 8), nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.body:
            x = torch.relu(layer(x))
        x = x * torch.sigmoid(self.gate(x.mean((2, 3), keepdim=True)))
        x = self.norm(self.normed(self.without_bias(x)))
        return self.last(x).flatten(1)


def program_of(num_layers: int = 5) -> Program:
    torch.manual_seed(0)
    net = Folded(num_layers).eval()
    with torch.no_grad():  # a dead channel: its variance is zero
        net.body[1].weight[3] = 0
    return from_exported(export(net, (X[:2],)))


def unfolded_program() -> Unfolded:
    found = unfold(program_of(), [X[:6], X[6:]])
    assert found is not None
    return found


def test_an_unfolded_network_returns_the_same_and_keeps_its_own_tensors() -> None:
    found = unfolded_program()
    assert deviation(found.original, found.program, [(X,)], torch.float64).max_relative_error < 1e-6
    assert found.original.tensors.items() <= found.program.tensors.items()
    added = {
        name.rpartition(".")[2]: role
        for name, role in found.program.roles.items()
        if "norm." in name
    }
    assert added["running_var"] is Role.BUFFER
    assert added["weight"] is Role.PARAMETER


def test_convolutions_that_have_no_batch_norm_in_any_network_get_none() -> None:
    layers = [layer.weight for layer in unfolded_program().layers]
    assert layers == [f"body.{n}.weight" for n in range(5)]


def test_a_network_with_few_convolutions_is_left_alone() -> None:
    assert unfold(program_of(num_layers=4), [X]) is None


def test_its_statistics_are_those_of_all_samples() -> None:
    found = unfolded_program()
    again = recalibrate(found.program, [X])
    for name in statistics(found.program):
        expected = found.program.tensors[name]
        if name.endswith("running_var"):  # the training kernel divides by n - 1
            expected = expected * 16 * 64 / (16 * 64 - 1)
        torch.testing.assert_close(again.tensors[name], expected, rtol=1e-4, atol=1e-5)


def trained(found: Unfolded) -> Program:
    module = ProgramModule(found.program).train()
    optimizer = torch.optim.SGD(module.parameters(), 0.05, weight_decay=1e-3)
    for _ in range(5):
        optimizer.zero_grad()
        module(X).square().mean().backward()
        optimizer.step()
    return module.program()


def test_a_trained_network_is_folded_into_the_graph_of_the_file() -> None:
    found = unfolded_program()
    program = trained(found)
    folded = found.fold(program)
    assert folded.graph is found.original.graph
    assert folded.tensors.keys() == found.original.tensors.keys()
    assert deviation(program, folded, [(X,)], torch.float64).max_relative_error < 1e-5
    assert deviation(found.original, folded, [(X,)], torch.float64).max_relative_error > 1e-2


def test_a_network_that_folding_would_change_is_refused() -> None:
    found = unfolded_program()
    tensors = dict(trained(found).tensors)
    tensors[f"{found.layers[0].norm}.running_var"] = torch.full([8], float("nan"))
    with pytest.raises(EquivalenceError, match="folding BatchNorm"):
        found.fold(found.program.with_tensors(tensors))


def test_its_names_do_not_clash_with_those_of_the_file() -> None:
    plain, taken = program_of(), "body_0_weight_batch_norm.weight"
    clash = replace(
        plain,
        tensors={**plain.tensors, taken: X[0, 0]},
        roles={**plain.roles, taken: Role.CONSTANT},
    )
    found = unfold(clash, [X])
    assert found is not None
    assert found.layers[0].norm == "body_0_weight_batch_norm_2"

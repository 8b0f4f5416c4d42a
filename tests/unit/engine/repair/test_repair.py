"""`repair_program` undoes cuts that can be undone, keeps the certificate, and is deterministic."""

import pytest
import torch
from torch import Tensor, nn

from secateur.engine import (
    Analysis,
    Plan,
    Program,
    RepairOptions,
    analyse,
    compact,
    from_module,
    make_plan,
    repair_program,
)
from secateur.engine.program.module import ProgramModule
from secateur.engine.surgery import certify_retrained
from tests.unit.engine.repair.readers import READERS

EXACT = RepairOptions(ridge=1e-7)


def prepared(network: nn.Module, *shape: int) -> tuple[Program, Analysis, Tensor]:
    x = torch.randn(48, *shape)
    program = from_module(network.eval(), (x[:2],))
    return program, analyse(program), x


def first_half(program: Program, analysis: Analysis) -> Plan:
    """Return the plan that keeps the first half of every family."""
    keeps = {
        family.name: torch.arange(family.num_groups) < (family.num_groups + 1) // 2
        for family in analysis.families
    }
    return make_plan(program, analysis, keeps)


def error(one: Program, other: Program, x: Tensor) -> float:
    with torch.no_grad():
        a, b = (ProgramModule(each).eval()(x) for each in (one, other))
    return float((a - b).square().mean() / b.square().mean())


@pytest.mark.parametrize("kind", READERS)
def test_channels_that_repeat_others_are_not_missed(kind: str) -> None:
    torch.manual_seed(0)
    network = READERS[kind]()
    rank = network.first.weight.dim() - 2
    program, analysis, x = prepared(network, 2, *[8, 7, 6][:rank])
    keeps = {
        f.name: torch.arange(f.num_groups) % 3 < 2 for f in analysis.families if "first" in f.name
    }
    plan = make_plan(program, analysis, keeps)
    assert plan.num_removed
    assert error(compact(program, analysis, plan), program, x) > 1e-3
    found = repair_program(program, analysis, plan, [(part,) for part in x.split(20)], EXACT)
    assert error(found.program, program, x) < 1e-5
    certify_retrained(program, analysis, plan, found.program, [program.example_inputs(3)])


def block() -> nn.Module:
    """Convolutions with BatchNorm, a residual sum, and a classifier."""
    return nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, groups=4, padding=1),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.Conv2d(12, 12, 3, groups=12, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


class Repeated(nn.Module):
    """The same convolution twice, one after the other, with other layers around them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.last = (
            nn.Conv2d(2, 8, 1),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.Linear(8, 4),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        x = torch.relu(self.twice(torch.relu(self.twice(x))))
        found: Tensor = self.last(x.mean((2, 3)))
        return found


@pytest.mark.parametrize("make", [block, Repeated])
def test_a_repaired_network_is_nearer_to_the_dense_one_and_has_its_certificate(
    make: type[nn.Module],
) -> None:
    torch.manual_seed(0)
    program, analysis, x = prepared(make(), 2, 9, 9)
    plan = first_half(program, analysis)
    found = repair_program(program, analysis, plan, [(x[:32],)])
    unseen = x[32:]
    assert error(found.program, program, unseen) < 0.6 * error(
        compact(program, analysis, plan), program, unseen
    )
    assert certify_retrained(program, analysis, plan, found.program, [(unseen,)]).is_exact
    assert found.refits
    assert all(refit.after <= refit.before for refit in found.refits)


def test_a_weight_of_two_layers_is_solved_for_both() -> None:
    torch.manual_seed(0)
    program, analysis, x = prepared(Repeated(), 2, 9, 9)
    found = repair_program(program, analysis, first_half(program, analysis), [(x,)])
    [shared] = [refit for refit in found.refits if refit.weight == "twice.weight"]
    [other] = [refit for refit in found.refits if refit.weight == "last.weight"]
    assert shared.num_rows == 2 * len(x) * 81
    assert other.num_rows == len(x)


def test_the_same_samples_give_the_same_bytes() -> None:
    torch.manual_seed(0)
    program, analysis, x = prepared(block(), 2, 24, 24)  # more positions than are used
    plan = first_half(program, analysis)
    one, two = (repair_program(program, analysis, plan, [(x,)]).program for _ in range(2))
    for name, tensor in one.tensors.items():
        assert torch.equal(tensor, two.tensors[name]), name


def test_without_samples_nothing_is_repaired() -> None:
    program, analysis, _ = prepared(block(), 2, 9, 9)
    plan = first_half(program, analysis)
    found = repair_program(program, analysis, plan, [])
    assert (found.refits, found.num_samples) == ((), 0)
    for name, tensor in compact(program, analysis, plan).tensors.items():
        assert torch.equal(tensor, found.program.tensors[name])


def test_as_many_samples_are_used_as_fit_in_memory() -> None:
    program, analysis, x = prepared(block(), 2, 9, 9)
    options = RepairOptions(memory_bytes=200_000)
    found = repair_program(
        program, analysis, first_half(program, analysis), [(x[:3],), (x[3:],)], options
    )
    assert 3 < found.num_samples < len(x)


def test_samples_that_overflow_leave_the_weights() -> None:
    program, analysis, x = prepared(block(), 2, 9, 9)
    plan = first_half(program, analysis)
    found = repair_program(program, analysis, plan, [(x * 1e38,)])
    assert all(bool(tensor.isfinite().all()) for tensor in found.program.tensors.values())


def test_a_weight_that_something_else_reads_is_left() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.first(x))
            found: Tensor = self.second(x) + self.second.weight.sum()
            return found

    program, analysis, x = prepared(Tied(), 4)
    plan = first_half(program, analysis)
    found = repair_program(program, analysis, plan, [(x,)])
    assert "second.weight" not in {refit.weight for refit in found.refits}


def test_progress_ends_at_the_last_call() -> None:
    program, analysis, x = prepared(block(), 2, 9, 9)
    seen: list[tuple[int, int]] = []
    options = RepairOptions(on_progress=lambda done, total: seen.append((done, total)))
    repair_program(program, analysis, first_half(program, analysis), [(x,)], options)
    assert seen[-1][0] == seen[-1][1] == len(seen)

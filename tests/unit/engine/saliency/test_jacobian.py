"""Compared with a plain reference: the slope of the loss as one tensor's slices of a group fade."""

import pytest
import torch
from torch import nn

from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Role
from secateur.engine.saliency import CRITERIA, CalibrationBatch, SaliencyOptions
from tests.unit.engine.saliency.networks import ANALYSIS, OPTIONS, PROGRAM, calibration


def slope(loss: object, tensor: str, dim: int, index: torch.Tensor) -> float:
    """Return the derivative of a loss by a factor on some slices, by central differences."""
    values, step = [], 1e-5
    for factor in (1 + step, 1 - step):
        tensors = {name: each.double() for name, each in PROGRAM.tensors.items()}
        part = tensors[tensor].index_select(dim, index) * factor
        tensors[tensor] = tensors[tensor].index_copy(dim, index, part)
        module = ProgramModule(PROGRAM.with_tensors(tensors)).eval()
        with torch.no_grad():
            values.append(float(loss(module)))  # type: ignore[operator]
    return (values[0] - values[1]) / (2 * step)


def expected(losses: list[object], family: int, group: int) -> float:
    total = 0.0
    for member in ANALYSIS.families[family].members:
        if PROGRAM.roles[member.tensor] is Role.PARAMETER:
            index = member.index_GK[group]
            total += sum(slope(each, member.tensor, member.dim, index) ** 2 for each in losses)
    return total / len(losses)


def test_with_labels_it_is_the_squared_slope_of_the_loss_by_each_tensor() -> None:
    batch = calibration(32)  # two chunks
    found = CRITERIA["jacobian"](PROGRAM, ANALYSIS, (batch,), OPTIONS)
    assert batch.labels is not None

    def loss(part: slice) -> object:
        return lambda module: nn.functional.cross_entropy(
            module.run((batch.inputs[0][part].double(),))[0], batch.labels[part]
        )

    losses = [loss(slice(16)), loss(slice(16, 32))]
    for number, family in enumerate(ANALYSIS.families):
        for group in (0, family.num_groups - 1):
            assert float(found[family.name][group]) == pytest.approx(
                expected(losses, number, group), rel=1e-2, abs=1e-9
            )


def test_without_labels_it_is_the_squared_change_of_the_outputs() -> None:
    """On average over projections; compared for a layer of scores with the exact Jacobian."""
    x = calibration(16).inputs
    many = [
        CRITERIA["jacobian"](PROGRAM, ANALYSIS, (CalibrationBatch(x),), SaliencyOptions(seed=seed))
        for seed in range(200)
    ]
    module = ProgramModule(PROGRAM).eval()
    with torch.no_grad():
        size = float(module.run(x)[0].square().mean().sqrt())
    family = ANALYSIS.families[-1]
    total = torch.zeros(family.num_groups, dtype=torch.float64)
    for member in family.members:
        if PROGRAM.roles[member.tensor] is not Role.PARAMETER:
            continue
        weight = PROGRAM.tensors[member.tensor]

        def outputs(factors: torch.Tensor, name: str = member.tensor, dim: int = member.dim,
                    index: torch.Tensor = member.index_GK) -> torch.Tensor:  # fmt: skip
            scale = torch.ones(weight.shape[dim]).index_copy(  # noqa: B023  # called at once
                0, index.flatten(), factors.repeat_interleave(index.shape[1])
            )
            shape = [-1 if each == dim else 1 for each in range(weight.ndim)]  # noqa: B023
            tensors = PROGRAM.tensors | {name: weight * scale.view(shape)}  # noqa: B023
            return torch.func.functional_call(module, tensors, x) / size

        jacobian = torch.autograd.functional.jacobian(outputs, torch.ones(family.num_groups))
        total += jacobian.double().square().sum((0, 1)) / len(x[0]) ** 2
    mean = torch.stack([each[family.name] for each in many]).mean(0)
    torch.testing.assert_close(mean, total, rtol=0.35, atol=1e-6)
    assert torch.equal(many[0][family.name].argsort()[-1:], many[0][family.name].argmax()[None])

"""What a look at a network shows: moved inputs, constant and infinite outputs, orders of labels."""

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.retrain import recalibrate
from secateur.engine.samples import TensorSource, spread
from secateur.engine.sanity import distance, find_order, look, worst
from secateur.engine.sanity.statistics import first_norms
from tests.fixtures.networks import SmallNet


def program_of(model: nn.Module, *shape: int) -> Program:
    return from_exported(export(model.eval(), (torch.randn(2, *shape),)))


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(96, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def program(images: Tensor) -> Program:
    """A network whose statistics are those of the images."""
    torch.manual_seed(0)
    return recalibrate(program_of(SmallNet(), 1, 8, 8), [images])


def far(program: Program, x: Tensor) -> float:
    found = worst(look(program, TensorSource(x), torch.arange(len(x)), "none").norms)
    assert found is not None
    return distance(found)


def test_inputs_like_those_of_training_are_near(program: Program, images: Tensor) -> None:
    assert far(program, images) < 0.05
    assert far(program, images[:32]) < 0.2


@pytest.mark.parametrize(
    ("factor", "offset"),
    # Pixels in [0, 1] that were to be less a mean, over a std; bytes; over the std twice; nothing.
    [(0.3, 0.3), (76.5, 76.5), (3.0, 0.0), (0.3, 0.0), (0.0, 0.0)],
)
def test_inputs_in_another_range_are_far(
    program: Program, images: Tensor, factor: float, offset: float
) -> None:
    assert far(program, factor * images + offset) > 0.9


@pytest.mark.parametrize(("bias", "wanted"), [(50.0, 2), (0.0, None)])
def test_a_class_that_is_answered_always_is_seen(
    images: Tensor, bias: float, wanted: int | None
) -> None:
    torch.manual_seed(0)
    scores = nn.Linear(64, 3)
    with torch.no_grad():
        scores.bias.copy_(torch.tensor([0.0, 0.0, bias]))
    network = program_of(nn.Sequential(nn.Flatten(), scores), 1, 8, 8)
    source, labels = TensorSource(images), torch.arange(96) % 3
    assert look(network, source, torch.arange(96), "none").only_class == wanted
    assert look(network, source, torch.arange(1), "none").only_class is None
    labelled = TensorSource(images, labels)  # labels tell more
    assert look(network, labelled, torch.arange(96), "classes").only_class is None


def test_statistics_of_a_new_layer_are_reported_and_not_compared(images: Tensor) -> None:
    new = program_of(SmallNet(), 1, 8, 8)
    norms = look(new, TensorSource(images), torch.arange(96), "none").norms
    assert [norm.is_untrained for norm in norms] == [True]
    assert worst(norms) is None


def test_only_norms_that_inputs_reach_first_are_looked_at() -> None:
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(1)
            self.left, self.right = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 4, 3)
            self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

        def forward(self, x: Tensor) -> Tensor:
            left = self.second(self.left(self.norm(x)))
            return (left + self.first(self.right(x))).mean((2, 3))

    names = [str(node.args[3].target) for node in first_norms(program_of(Branches(), 1, 8, 8))]
    assert sorted(names) == ["first.running_mean", "norm.running_mean"]
    assert first_norms(program_of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), 1, 8, 8)) == ()


class Scaled(nn.Module):
    """Outputs that depend on the input by a factor of its own."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.linear = nn.Linear(64, 4)
        with torch.no_grad():
            self.linear.weight.mul_(factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


@pytest.mark.parametrize(("factor", "is_constant"), [(1.0, False), (1e-12, True), (0.0, True)])
def test_outputs_that_never_change_are_constant(
    images: Tensor, factor: float, *, is_constant: bool
) -> None:
    found = look(
        program_of(Scaled(factor), 1, 8, 8), TensorSource(images), torch.arange(96), "none"
    )
    assert found.is_constant == is_constant
    assert found.num_not_finite == 0


def test_outputs_that_are_not_finite_are_counted(images: Tensor) -> None:
    x = images.clone()
    x[3], x[90] = float("inf"), float("nan")
    found = look(program_of(Scaled(1.0), 1, 8, 8), TensorSource(x), torch.arange(96), "none")
    assert found.num_not_finite == 2


def test_orders_of_labels_are_found() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 6, (300,), generator=generator)
    wrong = torch.rand(300, generator=generator) < 0.1
    answers = torch.where(wrong, torch.randint(0, 6, (300,), generator=generator), truth)
    same = find_order(answers, truth)
    assert same is not None
    assert same.moved == {}
    order = torch.tensor([2, 0, 1, 3, 5, 4])
    moved = find_order(order[answers], truth)
    assert moved is not None
    assert moved.moved == {0: 2, 1: 0, 2: 1, 4: 5, 5: 4}
    assert moved.shift is None
    assert moved.share == pytest.approx(float((answers == truth).float().mean()))
    shifted = find_order(answers + 1, truth)
    assert shifted is not None
    assert shifted.shift == 1
    assert find_order(answers[:20], truth[:20]) is None, "too few to tell"


def test_indices_are_spread_over_all_of_them() -> None:
    assert spread(torch.arange(5), 8).tolist() == [0, 1, 2, 3, 4]
    assert spread(torch.arange(100, 110), 4).tolist() == [100, 102, 105, 107]

"""Distillation of networks with a softmax or a sigmoid at their end."""

import pytest
import torch
from torch import nn

from secateur.engine.objectives import ObjectiveOptions
from secateur.engine.objectives.outputs import before_endings
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.retrain.options import RetrainOptions
from secateur.engine.retrain.teacher import Teacher
from secateur.engine.retrain.trainer import Lesson, Trainer
from secateur.engine.samples import TensorSource
from tests.unit.engine.objectives.networks import program_of

_X = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))


class Ended(nn.Module):
    """A network of certain answers that ends in an activation, or in nothing."""

    def __init__(self, ending: nn.Module | None, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.score = nn.Linear(64, 3)
        self.ending = ending
        with torch.no_grad():
            self.score.weight *= 200

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.score(x.flatten(1))
        return scores if self.ending is None else self.ending(scores).clone()


def trained(ending: nn.Module | None) -> tuple[float, Program]:
    """Return the loss of a step, and the network after it."""
    student, teacher = program_of(Ended(ending, 0)), program_of(Ended(ending, 1))
    options = RetrainOptions(objective=ObjectiveOptions("distill"))
    lesson = Lesson(Teacher(teacher, TensorSource(_X), torch.arange(32), is_before_ending=True))
    trainer = Trainer(student, options, "float32", lesson, {})
    return float(trainer.step(_X, None, 0.1, 0)), trainer.program()


@pytest.mark.parametrize("ending", [nn.Softmax(1), nn.Sigmoid()], ids=["softmax", "sigmoid"])
def test_a_network_with_its_activation_learns_as_one_without(ending: nn.Module) -> None:
    """By its probabilities, one that is surely wrong learned nothing: they do not move."""
    (loss, found), (wanted_loss, wanted) = trained(ending), trained(None)
    assert loss == pytest.approx(wanted_loss)
    before = program_of(Ended(None, 0)).tensors["score.weight"]
    assert not torch.equal(found.tensors["score.weight"], before)
    torch.testing.assert_close(found.tensors["score.weight"], wanted.tensors["score.weight"])


def test_the_trained_network_keeps_its_activation() -> None:
    _, found = trained(nn.Softmax(1))
    scores = ProgramModule(found).eval().run((_X,))[0]
    torch.testing.assert_close(scores.sum(1), torch.ones(32))


class Mixed(nn.Module):
    """Outputs where something else follows the activation, or where it does not saturate."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        flat = x.flatten(1)
        return flat.softmax(1)[:, :2], torch.cat([flat, flat.sigmoid()], 1), flat.log_softmax(1)


def test_outputs_stay_where_something_follows_the_activation() -> None:
    program = program_of(Mixed())
    assert before_endings(program) == tuple(program.graph.output_node().args[0])  # type: ignore[arg-type]

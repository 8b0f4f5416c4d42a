"""Classes that the user returns are read as dicts or tuples, without importing anything."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from secateur.engine.program.module import ProgramModule
from secateur.engine.program.reader import read_program
from secateur.engine.program.writer import write_program


class Answer(dict[str, Tensor]):
    """Output class registered with its keys, as Hugging Face registers its own."""


@dataclass
class Fields:
    """Output class registered as a dataclass, with a field that is None."""

    boxes: Tensor
    scores: Tensor
    loss: Tensor | None = None


class Pair:
    """Output class registered without names."""

    def __init__(self, first: Tensor, second: Tensor) -> None:
        self.parts = [first, second]


pytree.register_pytree_node(
    Answer,
    lambda answer: (list(answer.values()), list(answer)),
    lambda values, keys: Answer(zip(keys, values, strict=True)),
    serialized_type_name="no.such.module.Answer",
)
pytree.register_pytree_node(
    Pair,
    lambda pair: (pair.parts, None),
    lambda parts, _context: Pair(*parts),
    serialized_type_name="no.such.module.Pair",
)
pytree.register_dataclass(Fields, serialized_type_name="no.such.module.Fields")


class Model(nn.Module):
    """Model whose output is an object of the user's class."""

    def __init__(self, answer: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.answer, self.conv = answer, nn.Conv2d(1, 2, 3)

    def forward(self, x: Tensor) -> Any:  # an object of the user's class
        y = self.conv(x)
        return self.answer(y, y + 1)


@pytest.mark.parametrize(
    ("answer", "names", "kind"),
    [
        (lambda a, b: Answer(logits=a, features=b), ("logits", "features"), dict),
        (Fields, ("boxes", "scores"), dict),
        (Pair, ("output_0", "output_1"), tuple),
        (lambda a, b: [Answer(logits=a), b], ("output_0_logits", "output_1"), list),
    ],
    ids=["keys", "dataclass", "no names", "nested"],
)
def test_a_class_becomes_a_dict_or_a_tuple(
    answer: Callable[[Tensor, Tensor], Any], names: tuple[str, ...], kind: type, tmp_path: Path
) -> None:
    model, x = Model(answer).eval(), torch.randn(2, 1, 4, 4)
    batch = {0: torch.export.Dim("batch")}
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(model, (x,), dynamic_shapes=(batch,)), path)
    program = read_program(path)
    assert "no.such.module" not in sys.modules
    assert program.output_names == names
    found = ProgramModule(program).eval()(x)
    assert type(found) is kind
    for one, other in zip(pytree.tree_leaves(found), pytree.tree_leaves(model(x)), strict=True):
        torch.testing.assert_close(one, other)
    write_program(program, path)
    assert read_program(path).output_names == names

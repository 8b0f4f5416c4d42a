from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own habit
from torch import Tensor, nn

from secateur.engine.objectives import LabelKind
from secateur.engine.objectives.outputs import output_kinds, score_outputs
from tests.unit.engine.objectives.networks import Heads, program_of
from tests.unit.engine.retrain.networks import small_program


def test_class_scores_are_recognised_in_the_graph() -> None:
    assert score_outputs(program_of(Heads())) == (1,)
    assert score_outputs(program_of(Heads(is_soft=False))) == (), "they may be anything"
    assert score_outputs(small_program()) == (0,)


class Head(nn.Module):
    """A linear layer, and what is done with its scores."""

    def __init__(self, num_outputs: int, end: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.fc, self.end = nn.Linear(64, num_outputs), end

    def forward(self, x: Tensor) -> object:
        return self.end(self.fc(x.flatten(1)))


ENDS: dict[str, tuple[int, Callable[[Tensor], object], LabelKind | None, str]] = {
    "nothing": (3, lambda z: z, None, "logits"),
    "temperature": (3, lambda z: z / 1.5, None, "logits"),
    "softmax": (3, lambda z: z.softmax(-1), None, "probabilities"),
    "softmax, flat": (3, lambda z: z[:, :, None].softmax(1).flatten(1), None, "probabilities"),
    "mean": (3, lambda z: (z.softmax(1) + (2 * z).softmax(1)) / 2, None, "probabilities"),
    "log_softmax": (3, lambda z: z.log_softmax(1), None, "log_probabilities"),
    "log of softmax": (3, lambda z: z.softmax(1).log(), None, "log_probabilities"),
    "logsumexp": (3, lambda z: z - z.logsumexp(1, keepdim=True), None, "log_probabilities"),
    "sigmoid, clamped": (3, lambda z: z.sigmoid().clamp(0.1, 0.9), None, "label_probabilities"),
    "no background": (3, lambda z: z.softmax(1)[:, 1:], None, "label_probabilities"),
    "multi-label": (3, lambda z: z, "multi_label", "label_logits"),
    "sigmoid, squeezed": (1, lambda z: z.sigmoid().squeeze(1), None, "binary_probability"),
    "one of two": (2, lambda z: z.softmax(1)[:, 1], None, "binary_probability"),
    "one logit": (1, lambda z: z.squeeze(1), "classes", "binary_logit"),
    "one number": (1, lambda z: z, None, "other"),
    "numbers": (3, lambda z: z, "numbers", "other"),
    "embedding": (3, lambda z: F.normalize(z, dim=1), None, "other"),
    "clamped": (3, lambda z: z.clamp(0, 1), None, "other"),
    "relu": (3, torch.relu, None, "other"),
    "mask": (3, lambda z: z[:, :, None].sigmoid(), None, "other"),
    "boolean": (3, lambda z: z > 0, None, "other"),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_kind_of_an_output_is_detected(name: str) -> None:
    num_outputs, end, labels, kind = ENDS[name]
    torch.manual_seed(0)
    assert output_kinds(program_of(Head(num_outputs, end)), labels) == (kind,)


def test_several_plain_outputs_may_be_anything_unless_labels_say() -> None:
    two = program_of(Head(3, lambda z: (z, 2 * z)))
    assert output_kinds(two) == ("other", "other")
    assert output_kinds(two, "classes") == ("logits", "other")

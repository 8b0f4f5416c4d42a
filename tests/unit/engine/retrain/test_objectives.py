from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own habit
from torch import Tensor, nn

from secateur.engine.errors import DataError
from secateur.engine.objectives import LabelKind, Loss, ObjectiveOptions
from secateur.engine.objectives.bce import bce
from secateur.engine.objectives.cross_entropy import cross_entropy
from secateur.engine.objectives.distill import soften
from secateur.engine.objectives.outputs import activation, output_kinds, score_outputs
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.retrain.features import attention_distance, find_taps
from secateur.engine.retrain.teacher import Teacher
from secateur.engine.samples import TensorSource
from tests.unit.engine.retrain.networks import small_data, small_program


class Heads(nn.Module):
    """Boxes and scores, as a detector returns them."""

    def __init__(self, *, is_soft: bool = True) -> None:
        super().__init__()
        self.conv, self.boxes, self.scores = nn.Conv2d(1, 4, 3), nn.Linear(4, 4), nn.Linear(4, 2)
        self.is_soft = is_soft

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = torch.relu(self.conv(x)).mean((2, 3))
        scores = self.scores(y)
        return self.boxes(y), scores.softmax(1) if self.is_soft else scores


def program_of(model: nn.Module) -> Program:
    return from_exported(export(model.eval(), (torch.randn(2, 1, 8, 8),)))


def test_softened_scores_are_compared_as_hinton_does() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(5, 3), torch.randn(5, 3)
    p, q = (teacher / 4).softmax(1), (student / 4).softmax(1)
    expected = 16 * (p * (p.log() - q.log())).sum() / 5
    torch.testing.assert_close(soften(student, teacher, "none", 4.0), expected)
    assert float(soften(teacher, teacher, "none", 4.0)) == pytest.approx(0, abs=1e-6)


def test_a_softmax_at_the_end_is_seen_in_the_graph() -> None:
    logits = torch.randn(6, 3)
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    with_softmax = program_of(nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.Softmax(1)))
    assert activation(with_softmax) == "softmax"
    expected = F.cross_entropy(logits, labels)
    torch.testing.assert_close(cross_entropy(logits.softmax(1), labels, "softmax"), expected)
    torch.testing.assert_close(
        soften(logits.softmax(1), logits.softmax(1).flip(0), "softmax", 2.0),
        soften(logits, logits.flip(0), "none", 2.0),
    )


def test_several_classes_a_sample_are_compared_as_logits_or_probabilities() -> None:
    logits, truth = torch.randn(6, 4), (torch.rand(6, 4) > 0.5).float()
    expected = F.binary_cross_entropy_with_logits(logits, truth)
    torch.testing.assert_close(bce(logits, truth), expected)
    torch.testing.assert_close(bce(logits.sigmoid(), truth, "sigmoid"), expected)


def test_outputs_without_labels_are_compared_by_their_own_variance() -> None:
    program = program_of(Heads())
    x = torch.randn(64, 1, 8, 8)
    teacher = Teacher(program, TensorSource(x), torch.arange(64))
    boxes, scores = (output for output in teacher.answer(x)[0] if isinstance(output, Tensor))
    assert teacher.scales[0] == pytest.approx(float(boxes.var(0, correction=0).mean()), rel=1e-4)
    objective = Loss(program, ObjectiveOptions("distill"), teacher.scales)
    shifted: list[object] = [boxes * 10 + 1, scores]
    scaled = Loss(program, ObjectiveOptions("distill"), [100 * s for s in teacher.scales])
    a = objective([boxes + 0.1, scores], None, [boxes, scores])
    b = scaled([boxes * 10 + 1 + 1, scores], None, shifted)
    torch.testing.assert_close(a, b, msg="a box in other units weighs the same")
    assert float(objective([boxes, scores], None, [boxes, scores])) == 0


def test_which_outputs_are_class_scores_is_read_off_the_graph() -> None:
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
def test_what_an_output_is(name: str) -> None:
    num_outputs, end, labels, kind = ENDS[name]
    torch.manual_seed(0)
    assert output_kinds(program_of(Head(num_outputs, end)), labels) == (kind,)


def test_several_plain_outputs_may_be_anything_unless_labels_say() -> None:
    two = program_of(Head(3, lambda z: (z, 2 * z)))
    assert output_kinds(two) == ("other", "other")
    assert output_kinds(two, "classes") == ("logits", "other")


def test_probabilities_of_labels_by_themselves_are_scores_of_classes_by_their_logits() -> None:
    logits, labels = torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    torch.testing.assert_close(
        cross_entropy(logits.sigmoid(), labels, "sigmoid"), F.cross_entropy(logits, labels)
    )


def test_mixed_weighs_labels_and_teacher() -> None:
    program, data = small_program(), small_data()
    x, y = data.source.batch(data.train)
    teacher = Teacher(program, data.source, data.train)
    taught, _ = teacher.answer(x)
    torch.manual_seed(1)
    logits: list[object] = [torch.randn(len(x), 3)]
    options = {
        kind: Loss(program, ObjectiveOptions(kind, distill_weight=0.3), teacher.scales)
        for kind in ("cross_entropy", "mixed")
    }
    by_labels = options["cross_entropy"](logits, y)
    assert isinstance(logits[0], Tensor)
    assert isinstance(taught[0], Tensor)
    by_teacher = soften(logits[0], taught[0], "none", 2.0)
    found = options["mixed"](logits, y, taught)
    torch.testing.assert_close(found, 0.7 * by_labels + 0.3 * by_teacher)


def test_numbers_must_have_the_shape_of_the_output() -> None:
    objective = Loss(small_program(), ObjectiveOptions("mse"), ())
    with pytest.raises(
        DataError, match=r"labels have shape \(4, 2\), the network returns \(4, 3\)"
    ):
        objective([torch.zeros(4, 3)], torch.zeros(4, 2))


def test_attention_is_compared_at_the_last_layer_of_every_image_size() -> None:
    program = small_program()
    taps = find_taps(program, program)
    assert len(taps.student) == 2, "images of 8 and of 4 pixels"
    x = torch.randn(3, 5, 4, 4)
    assert float(attention_distance([x], [x])) == 0
    # Channels that look at the same places make the same map, however many they are.
    assert float(attention_distance([x], [x.repeat(1, 2, 1, 1)])) == pytest.approx(0, abs=1e-10)
    assert float(attention_distance([x], [x.flip(3)])) > 0.01

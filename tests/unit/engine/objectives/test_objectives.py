import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own habit
from torch import Tensor, nn

from secateur.engine.errors import DataError
from secateur.engine.objectives import Loss, ObjectiveOptions
from secateur.engine.objectives.bce import bce
from secateur.engine.objectives.cross_entropy import cross_entropy
from secateur.engine.objectives.distill import soften
from secateur.engine.objectives.outputs import activation
from secateur.engine.retrain.teacher import Teacher
from secateur.engine.samples import TensorSource
from tests.unit.engine.objectives.networks import Heads, program_of
from tests.unit.engine.retrain.networks import small_data, small_program


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

"""Every metric against a slow and obvious reference."""

import pytest
import torch
from torch import Tensor, nn

from tests.unit.engine.retrain.networks import small_data, small_program
from worker.engine.program.exported import export, from_exported
from worker.engine.program.program import Program
from worker.engine.retrain import Reference, TensorSource, evaluate


def linear(num_outputs: int, seed: int = 0) -> Program:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, num_outputs))
    return from_exported(export(net, (torch.randn(2, 4),)))


def outputs(program: Program, x: Tensor) -> Tensor:
    return x @ program.tensors["1.weight"].T + program.tensors["1.bias"]


def naive_f1(said: list[int], true: list[int], num_classes: int) -> float:
    scores = []
    for label in range(num_classes):
        hits = sum(a == b == label for a, b in zip(said, true, strict=True))
        wrong = sum((a == label) != (b == label) for a, b in zip(said, true, strict=True))
        if hits or wrong:
            scores.append(2 * hits / (2 * hits + wrong))
    return sum(scores) / len(scores)


def test_classes_are_scored_by_top1_top5_and_macro_f1() -> None:
    program, x = linear(8), torch.randn(60, 4)
    y = torch.randint(0, 7, (60,))  # class 7 may be said, and is never right
    found = evaluate(program, TensorSource(x, y), torch.arange(60), batch_size=16)
    scores = outputs(program, x)
    said = scores.argmax(1)
    assert found.primary == "top1"
    assert found.values["top1"] == pytest.approx(float((said == y).float().mean()))
    near = [label in row.topk(5).indices.tolist() for row, label in zip(scores, y.tolist())]  # noqa: B905
    assert found.values["top5"] == pytest.approx(sum(near) / 60)
    assert found.values["macro_f1"] == pytest.approx(naive_f1(said.tolist(), y.tolist(), 8))
    assert found.loss == pytest.approx(float(nn.functional.cross_entropy(scores, y)), rel=1e-5)


def test_few_classes_have_no_top5() -> None:
    data = small_data()
    assert "top5" not in evaluate(small_program(), data.source, data.train).values


def test_several_classes_a_sample_are_scored_class_by_class() -> None:
    program, x = linear(3), torch.randn(50, 4)
    y = (torch.rand(50, 3) > 0.6).float()
    found = evaluate(program, TensorSource(x, y), torch.arange(50), "multi_label", batch_size=16)
    said = outputs(program, x) > 0
    expected = [
        2 * (said[:, k] & (y[:, k] > 0)).sum() / (said[:, k].sum() + (y[:, k] > 0).sum())
        for k in range(3)
    ]
    assert found.primary == "macro_f1"
    assert found.values["macro_f1"] == pytest.approx(float(torch.stack(expected).mean()))


def test_numbers_are_scored_by_their_mean_error() -> None:
    program, x, y = linear(2), torch.randn(50, 4), torch.randn(50, 2)
    found = evaluate(program, TensorSource(x, y), torch.arange(50), "numbers", batch_size=16)
    error = outputs(program, x) - y
    assert found.values["mean_error"] == pytest.approx(float(error.abs().mean()), rel=1e-5)
    assert found.loss == pytest.approx(float(error.square().mean()), rel=1e-5)
    assert found.score < 0, "less is better"


def test_without_labels_the_dense_network_is_the_measure() -> None:
    dense, pruned, x = linear(3, seed=0), linear(3, seed=1), torch.randn(50, 4)
    reference = Reference(dense)
    source, indices = TensorSource(x), torch.arange(50)
    found = evaluate(pruned, source, indices, "none", reference, batch_size=16)
    a, b = outputs(pruned, x), outputs(dense, x)
    agreement = float((a.argmax(1) == b.argmax(1)).float().mean())
    assert found.primary == "agreement"
    assert found.values["agreement"] == pytest.approx(agreement)
    error = float((a - b).norm() / b.norm())
    assert found.values["output_error"] == pytest.approx(error, rel=1e-5)
    assert found.loss == pytest.approx(error**2, rel=1e-5)
    itself = evaluate(dense, source, indices, "none", reference, batch_size=16)
    assert (itself.values["agreement"], itself.values["output_error"]) == (1.0, 0.0)


def test_a_reference_is_asked_once_a_batch() -> None:
    program, x = small_program(), torch.randn(8, 1, 8, 8)
    reference = Reference(program)
    first = reference.outputs(x, torch.arange(8))
    again = reference.outputs(torch.zeros_like(x), torch.arange(8))
    assert again is first, "the same samples"
    assert reference.outputs(x, torch.arange(8) + 1) is not first

"""Every metric against a slow and obvious reference."""

import pytest
import torch
from torch import Tensor, nn

from secateur.engine.intervals import proportion_interval
from secateur.engine.metrics import Reference, evaluate
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.program import Program
from secateur.engine.samples import TensorSource
from tests.unit.engine.retrain.networks import small_data, small_program


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


def test_the_reference_runs_once_per_batch() -> None:
    program, x = small_program(), torch.randn(8, 1, 8, 8)
    reference = Reference(program)
    first = reference.outputs(x, torch.arange(8))
    again = reference.outputs(torch.zeros_like(x), torch.arange(8))
    assert again[0] is first[0], "the same samples"
    assert reference.outputs(x, torch.arange(8) + 1) is not first


def test_accuracy_has_an_interval_and_a_distance_to_the_reference_on_the_same_samples() -> None:
    program, dense, x = linear(4), linear(4, seed=1), torch.randn(80, 4)
    y = torch.randint(0, 4, (80,))
    found = evaluate(
        program, TensorSource(x, y), torch.arange(80), reference=Reference(dense), batch_size=32
    )
    right, was_right = (outputs(p, x).argmax(1) == y for p in (program, dense))
    doubt = found.doubt()
    assert doubt.interval == proportion_interval(int(right.sum()), 80)
    change = doubt.change
    assert change is not None
    assert change.num_won == int((right & ~was_right).sum())
    assert change.num_lost == int((was_right & ~right).sum())
    assert change.difference == pytest.approx(
        float(right.float().mean() - was_right.float().mean())
    )
    assert change.low < change.difference < change.high
    assert evaluate(program, TensorSource(x, y), torch.arange(80)).doubt().change is None


def test_an_error_has_the_interval_of_its_mean_and_of_its_changes() -> None:
    program, dense, x = linear(2), linear(2, seed=1), torch.randn(64, 4)
    y = torch.randn(64, 2)
    source = TensorSource(x, y)
    found = evaluate(program, source, torch.arange(64), "numbers", Reference(dense), batch_size=20)
    error, before = ((outputs(p, x) - y).abs().mean(1).double() for p in (program, dense))
    doubt = found.doubt()
    assert doubt.interval is not None
    assert doubt.change is not None
    for (low, high), values in (
        (doubt.interval, error),
        ((doubt.change.low, doubt.change.high), error - before),
    ):
        half = 1.96 * float(values.std()) / 8
        middle = float(values.mean())
        assert (low, high) == pytest.approx((middle - half, middle + half), rel=1e-3)
    assert doubt.change.difference == pytest.approx(float((error - before).mean()))


def test_f1_over_several_classes_is_resampled() -> None:
    program, x = linear(3), torch.randn(150, 4)
    y = (outputs(program, x) + torch.randn(150, 3) / 4 > 0).float()
    source = TensorSource(x, y)
    same = evaluate(program, source, torch.arange(150), "multi_label", Reference(program)).doubt()
    assert same.change is not None
    assert (same.change.difference, same.change.low, same.change.high) == (0, 0, 0)
    worse = evaluate(linear(3, 1), source, torch.arange(150), "multi_label", Reference(program))
    change = worse.doubt().change
    assert change is not None
    assert change.low <= change.difference <= change.high < 0, "far from the reference"
    few = evaluate(program, source, torch.arange(20), "multi_label").doubt().interval
    assert few is not None
    assert same.interval is not None
    assert few[0] < few[1]
    assert few[1] - few[0] > same.interval[1] - same.interval[0]


def test_without_labels_agreement_has_an_interval_and_a_distance_has_none() -> None:
    dense, data = small_program(), small_data()
    found = evaluate(small_program(), data.source, data.train, "none", Reference(dense))
    doubt = found.doubt()
    assert doubt.change is None
    if found.primary == "agreement":
        num_equal = round(found.values["agreement"] * len(data.train))
        assert doubt.interval == proportion_interval(num_equal, len(data.train))
    else:
        assert doubt.interval is None

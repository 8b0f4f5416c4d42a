"""Evidence against a data set, from numbers alone."""

from types import MappingProxyType

import pytest
import torch
from torch import Tensor

from secateur.engine.metrics import Metrics
from secateur.engine.sanity import Look, NormShift
from worker.pipeline.sanity import evidence


def a_look(
    answers: Tensor | None = None,
    labels: Tensor | None = None,
    errors: tuple[Tensor, Tensor] | None = None,
    **more: object,
) -> Look:
    values = {}
    if answers is not None and labels is not None:
        values = {"top1": float((answers == labels).float().mean())}
    elif errors is not None:
        values = {"mean_error": float(errors[0].mean())}
    count = len(labels) if labels is not None else 100
    found = {
        "metrics": Metrics(1.0, count, MappingProxyType(values), next(iter(values), "top1")),
        "num_samples": count, "num_not_finite": 0, "is_constant": False, "answers": answers,
        "labels": labels, "errors": errors, "norms": (), "fed": (0.0, 1.0, 0.5, 0.2),
    }  # fmt: skip
    return Look(**(found | more))


def right_for(share: float, num_classes: int, count: int) -> tuple[Tensor, Tensor]:
    """Return answers, a share of them right and the others off by one class, and labels."""
    labels = torch.arange(count) % num_classes
    is_right = torch.arange(count) // num_classes < share * (count // num_classes)
    return torch.where(is_right, labels, (labels + 1) % num_classes), labels


@pytest.mark.parametrize(
    ("share", "num_classes", "count", "strong"),
    [
        (0.1, 10, 400, True),  # chance
        (0.21, 10, 400, False),  # twice chance: what a missing mean and std leave
        (0.6, 10, 400, None),
        (0.2, 100, 1000, None),  # a hard problem
        (0.5, 2, 400, True),
        (0.5, 2, 16, False),  # too few to be sure
        (0.9, 2, 400, None),
    ],
)
def test_answers_near_chance(
    share: float, num_classes: int, count: int, *, strong: bool | None
) -> None:
    found = list(evidence.of_chance(a_look(*right_for(share, num_classes, count))))
    assert [each.is_strong for each in found] == ([] if strong is None else [strong])


def test_recognising_a_rare_class_is_better_than_chance() -> None:
    labels = (torch.arange(400) % 20 == 0).long()  # 19 of 20 are class 0
    answers = labels.clone()
    answers[(torch.arange(400) % 20 == 5)] = 1  # false alarms: accuracy as that of always 0
    assert list(evidence.of_chance(a_look(answers, labels))) == []
    assert len(list(evidence.of_chance(a_look(torch.zeros_like(labels), labels)))) == 1
    assert list(evidence.of_chance(a_look(answers[:1] * 0, labels[:1] * 0))) == [], "one class"


def test_numbers_worse_than_a_constant() -> None:
    base = torch.full((100,), 1.0)
    noise = torch.linspace(-0.1, 0.1, 100)
    good, poor, bad = (list(evidence.of_chance(a_look(errors=(f * base + noise, base))))
                       for f in (0.5, 0.95, 2.0))  # fmt: skip
    assert good == []
    assert [each.is_strong for each in poor] == [False]
    assert [each.is_strong for each in bad] == [True]


def test_expectations_allow_for_the_number_of_samples() -> None:
    few, many = (a_look(*right_for(0.8, 2, count)) for count in (20, 400))
    assert list(evidence.of_expected(few, {"top1": 0.9})) == []
    [found] = evidence.of_expected(many, {"top1": 0.92})
    assert found.is_strong
    assert "0.8000" in found.text
    assert "0.92" in found.text
    assert list(evidence.of_expected(many, {"top1": 0.8})) == []
    errors = a_look(errors=(torch.full((50,), 2.0) + torch.linspace(0, 0.1, 50), torch.ones(50)))
    assert [e.code for e in evidence.of_expected(errors, {"mean_error": 1.5})] == ["below_expected"]
    assert list(evidence.of_expected(errors, {"mean_error": 2.2})) == []


def test_labels_in_another_order_are_named() -> None:
    answers, labels = right_for(0.95, 4, 200)
    swapped = torch.where(labels == 2, 3, torch.where(labels == 3, 2, labels))
    [found] = evidence.of_order(a_look(answers, swapped), ("a", "b", "cat", "dog"))
    assert found.code == "labels_in_another_order"
    assert found.is_strong
    assert "'cat' (2) is answered as 3" in found.text
    [shifted] = evidence.of_order(a_look(answers, labels + 1), ())
    assert "each answer is the label -1" in shifted.text
    assert list(evidence.of_order(a_look(answers, labels), ())) == []


@pytest.mark.parametrize(("after", "strong"), [(0.22, None), (0.4, False), (0.8, True)])
def test_gains_by_recalibrating(after: float, *, strong: bool | None) -> None:
    before = a_look(*right_for(0.2, 10, 400))
    found = list(evidence.of_recalibrated(before, a_look(*right_for(after, 10, 400))))
    assert [each.is_strong for each in found] == (
        [] if strong is None else [strong or after > 0.39]
    )


@pytest.mark.parametrize(
    ("norms", "cause"),
    [
        ((), evidence.PREPROCESSING),
        ((NormShift("bn", 0.1, 1.05, is_untrained=False),), evidence.UNSETTLED),
        ((NormShift("bn", 0.9, 1.0, is_untrained=False),), evidence.PREPROCESSING),
    ],
)
def test_gains_with_usual_inputs_are_blamed_on_unsettled_statistics(
    norms: tuple[NormShift, ...], cause: str
) -> None:
    before = a_look(*right_for(0.27, 10, 400), norms=norms)
    (found,) = evidence.of_recalibrated(before, a_look(*right_for(1, 10, 400)))
    assert found.cause == cause


@pytest.mark.parametrize(
    ("shift", "spread", "strong"),
    [
        (0.1, 1.05, None),
        (0.35, 0.7, None),
        (0.7, 1.17, None),
        (0.9, 1.0, False),
        (0.2, 0.37, True),
        (75, 95, True),
    ],
)
def test_inputs_unlike_training(shift: float, spread: float, *, strong: bool | None) -> None:
    norm = NormShift("bn.running_mean", shift, spread, is_untrained=False)
    found = list(evidence.of_statistics(a_look(norms=(norm,))))
    assert [each.is_strong for each in found] == ([] if strong is None else [strong])


def test_untrained_statistics_and_useless_outputs_are_evidence() -> None:
    norm = NormShift("bn.running_mean", 9.0, 9.0, is_untrained=True)
    [notice] = evidence.of_statistics(a_look(norms=(norm,)))
    assert (notice.code, notice.is_notice, notice.is_strong) == (
        "statistics_untrained",
        True,
        False,
    )
    [constant] = evidence.of_outputs(a_look(is_constant=True))
    [broken] = evidence.of_outputs(a_look(num_not_finite=3, is_constant=True))
    assert (constant.code, broken.code) == ("outputs_constant", "outputs_not_finite")
    assert constant.is_strong
    assert broken.is_strong
    [one] = evidence.of_outputs(a_look(only_class=3))
    assert one.text == "the dense network answers class 3 for all 100 samples"
    assert "Agreement with it is worthless" in one.cause
    assert one.is_notice

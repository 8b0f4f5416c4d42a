"""The verdict on a pruned network, rule by rule."""

from typing import Any

import pytest

from app.contracts.config_options import make_config
from app.contracts.report import Report
from app.contracts.spec import PruneConfig
from tests.fixtures.reports import (
    DENSE,
    body,
    full_report,
    least_report,
    metrics,
    network,
    resolved,
    speedup,
)
from worker.pipeline.report.verdict import judge

PLAIN = {"selection": {"mode": "budget", "macs": 0.5}, "retrain": {"epochs": 3}}


def report(after: float, half: float = 0.004, **changes: Any) -> Report:
    """Return the report of a clean job that ends at an accuracy known to within ``half``."""
    measured = metrics(after)
    measured["change"] = {
        "difference": after - DENSE, "low": after - DENSE - half, "high": after - DENSE + half,
        "num_lost": 14, "num_won": 6, "is_measurable": abs(after - DENSE) > half,
    }  # fmt: skip
    clean = {
        "findings": [],
        "config": resolved(PLAIN),
        "speedups": [speedup(1, 1.8)],
        "retrained": network(after, macs=15_500_000, metrics=[measured]),
    }
    return full_report(**(clean | changes))


def int8_file(**changes: Any) -> dict[str, Any]:
    """Return a report of an int8 file with 54 integer layers and two conversions."""
    found: dict[str, Any] = {
        "is_kept": True, "is_served": False, "reason": "", "target": "vnni", "max_drop": 0.01,
        "metric": None, "before": None, "after": None, "num_judged": 0, "num_samples": 256,
        "agreement": None, "recipe": "layers", "calibration": "minmax", "file_bytes": None,
        "fp32_latency_seconds": [], "latency_seconds": [], "speedups": [],
        "num_integer": 54, "num_float": 0, "num_conversions": 2,
    }  # fmt: skip
    return found | changes


def test_a_small_loss_and_a_faster_network_are_ready_to_ship() -> None:
    verdict = judge(report(0.928))
    assert verdict.status == "ready"
    assert verdict.text == (
        "Ready to ship: 1.8x faster at batch 1, 50 % of the MACs, accuracy 92.80 % "
        "(\N{MINUS SIGN}0.20 ± 0.40 points)."
    )
    assert verdict.next_steps[0].config == {"/selection": {"mode": "budget", "macs": 0.35}}


def test_a_large_loss_is_not_ready_and_says_what_to_try() -> None:
    verdict = judge(report(0.83, 0.02))
    assert verdict.status == "not_ready"
    assert "accuracy 83.00 % (\N{MINUS SIGN}10.00 ± 2.00 points)" in verdict.text
    assert [step.config for step in verdict.next_steps] == [
        {"/criterion/kind": "auto"},
        {"/retrain/epochs": 6},
        {"/selection": {"mode": "budget", "macs": 0.75}},
    ]


def test_more_epochs_are_not_proposed_if_the_best_one_came_early() -> None:
    kept = body()["kept"] | {"epoch": 1}
    steps = judge(report(0.83, kept=kept)).next_steps
    assert not [step for step in steps if "/retrain/epochs" in step.config]


def test_an_untrained_network_is_to_be_trained() -> None:
    steps = judge(report(0.5, history=[], epochs=None)).next_steps
    assert {"/retrain/epochs": "auto"} in [step.config for step in steps]


def test_agreement_with_a_network_that_answers_one_class_is_worthless() -> None:
    message = "The dense network answers class 3 for all 60 samples. Agreement is worthless here."
    finding = {"code": "answers_of_one_class", "severity": "notice", "message": message}
    measured = metrics(1.0) | {"top1": None, "agreement": 1.0, "change": None}
    after = network(1.0, macs=15_500_000, metrics=[measured])
    same: dict[str, Any] = {"metric": "agreement", "dense": after, "retrained": after}
    verdict = judge(report(1.0, findings=[finding], **same))
    assert verdict.status == "uncertain"
    assert verdict.text.startswith("Uncertain: the dense network answers class 3 for all 60")
    assert judge(report(1.0, **same)).status == "ready"
    assert judge(report(0.928, findings=[finding])).status == "ready"  # labels know better


def test_a_loss_that_may_be_chance_is_uncertain() -> None:
    verdict = judge(report(0.91, 0.03))
    assert verdict.status == "uncertain"
    assert "400 samples are too few to be sure" in verdict.text


def test_a_loss_of_unknown_size_is_uncertain() -> None:
    assert judge(report(0.93, 0.05)).status == "uncertain"
    assert judge(report(0.93, 0.03)).status == "ready"


def test_a_promise_sets_the_allowed_loss() -> None:
    promised = resolved({"selection": {"mode": "accuracy", "max_drop": 0.05}})
    assert judge(report(0.89, config=promised)).status == "ready"
    assert judge(report(0.89)).status == "not_ready"


@pytest.mark.parametrize(("ratio", "text"), [(1.0, "no measurable difference"), (0.5, "as fast")])
def test_a_network_that_is_not_faster_is_uncertain(ratio: float, text: str) -> None:
    slow = speedup(1, ratio) | {"is_measurable": ratio < 1}
    verdict = judge(report(0.93, speedups=[slow]))
    assert verdict.status == "uncertain"
    assert text in verdict.text
    assert verdict.next_steps[0].config["/selection"]["latency"] == 0.6


def test_a_serious_finding_comes_before_good_numbers() -> None:
    found = [{"code": "near_chance", "severity": "serious", "message": "The labels are shuffled."}]
    verdict = judge(report(0.93, findings=found))
    assert (verdict.status, verdict.text) == ("not_ready", "Not ready: The labels are shuffled.")


def test_without_samples_nothing_is_promised() -> None:
    verdict = judge(least_report())
    assert verdict.status == "uncertain"
    start = "Not tested: the job had no samples to measure quality with. Result: "
    assert verdict.text.startswith(start)


def test_less_is_better_for_an_error() -> None:
    measured = metrics(DENSE) | {"output_error": 0.3, "change": None}
    before = metrics(DENSE) | {"output_error": 0.0}
    found = report(
        DENSE,
        metric="output_error",
        dense=network(DENSE, metrics=[before]),
        retrained=network(DENSE, macs=15_500_000, metrics=[measured]),
    )
    assert judge(found).status == "not_ready"


@pytest.mark.parametrize(
    ("is_kept", "changes", "is_proposed"),
    [
        (False, {}, True),
        (True, {}, False),
        (False, {"selection": {"mode": "accuracy", "max_drop": 0.01}}, False),
        (False, {"selection": {"mode": "budget", "macs": 0.5, "round_to": "auto"}}, False),
        (False, {"schedule": {"kind": "iterative"}}, False),
    ],
)
def test_widths_for_int8_are_proposed_if_its_file_is_too_slow(
    is_kept: bool, changes: dict[str, Any], is_proposed: bool
) -> None:
    asked = {**PLAIN, "precision": {"kind": "int8"}, **changes}
    slow = int8_file(is_kept=is_kept, speedups=[speedup(1, 0.9)])
    found = report(0.928, config=resolved(asked), int8=slow)
    configs = [step.config for step in judge(found).next_steps]
    step = {"/selection/round_to": "auto", "/selection/precision": "int8"}
    assert (step in configs) is is_proposed
    if is_proposed:
        given = {name[1:].replace("/", "."): value for name, value in step.items()}
        PruneConfig.model_validate(make_config(asked, given, []))


def test_no_widths_are_proposed_if_int8_loses_too_much_or_converts_too_often() -> None:
    asked = resolved({**PLAIN, "precision": {"kind": "int8"}})
    for found in (
        int8_file(is_kept=False),
        int8_file(is_kept=False, speedups=[speedup(1, 0.9)], num_conversions=56),
    ):
        steps = judge(report(0.928, config=asked, int8=found)).next_steps
        assert not [step for step in steps if "/selection/precision" in step.config]


def test_the_steps_are_configs_that_the_service_takes() -> None:
    for found in (report(0.83), report(0.93), report(0.93, speedups=[speedup(1, 1.0)])):
        for step in judge(found).next_steps:
            config: dict[str, Any] = {"retrain": {"batch_size": 64}}
            given = {name[1:].replace("/", "."): value for name, value in step.config.items()}
            PruneConfig.model_validate(make_config(config, given, []))


def test_a_large_speed_up_is_a_plain_number() -> None:
    assert "123x faster" in judge(report(0.93, speedups=[speedup(1, 123.4)])).text

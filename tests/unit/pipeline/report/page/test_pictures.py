"""Positions in the report's pictures, and the format of its numbers."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.contracts.report import GroupReport, Report
from secateur.engine.selection.steepness import cut
from tests.fixtures.reports import body, full_report, group, history, least_report
from worker.pipeline.report.page import charts, curves, formats
from worker.pipeline.report.page.pictures import search_chart, training_charts

NUMBERS = st.floats(-1e12, 1e12, allow_nan=False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.short(512), "512"),
        (formats.short(9_999), "9,999"),
        (formats.short(15_429_440), "15.4 M"),
        (formats.short(999_999), "1.00 M"),
        (formats.size(0), "0 B"),
        (formats.size(512), "512 B"),
        (formats.size(1_107_275), "1.11 MB"),
        (formats.significant(0.000123456), "0.000123"),
        (formats.significant(-2.5), "\N{MINUS SIGN}2.50"),
        (formats.significant(123_456), "123456"),
        (formats.significant(0), "0"),
        (formats.significant(1e-7), "1.0 \N{MULTIPLICATION SIGN} 10⁻⁷"),
        (formats.percent(None), formats.NOTHING),
        (formats.percent(0.9244), "92.44 %"),
        (formats.points(-0.0016), "\N{MINUS SIGN}0.16 points"),
        (formats.points(-0.00001), "±0.00 points"),
        (formats.seconds(0.00051), "0.510 ms"),
        (formats.seconds(1.5), "1.50 s"),
    ],
)
def test_numbers_are_written_for_people(text: str, expected: str) -> None:
    assert text == expected


def numbers(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?(?:e-?\d+)?", path)]


@given(
    saliency=st.lists(st.floats(-10, 10), min_size=1, max_size=300).map(sorted),
    share=st.floats(0, 1),
)
def test_removed_and_kept_areas_meet_at_the_cut(saliency: list[float], share: float) -> None:
    num_kept = max(1, round(share * len(saliency)))
    num_removed = len(saliency) - num_kept
    found = GroupReport.model_validate(
        group(num_groups=len(saliency), saliency=saliency, num_kept=num_kept, num_wanted=0)
    )
    panel = curves.panels([found], None)[0]
    assert (panel.cut is None) == (num_removed == 0)
    assert bool(panel.removed) == (num_removed > 0)
    border = curves.WIDTH * num_removed / len(saliency)
    if panel.cut is not None:
        assert panel.cut == pytest.approx(border, abs=0.1)
        assert f"H{panel.cut:g}V" in panel.removed
    assert panel.kept.startswith(f"M{panel.cut or 0:g} ")
    assert f"H{curves.WIDTH}V" in panel.kept
    heights = numbers(panel.removed) + numbers(panel.kept)
    assert all(0 <= number <= curves.WIDTH for number in heights)


@given(
    rises=st.lists(st.floats(0.001, 1), min_size=5, max_size=40),
    steepness=st.floats(0.2, 3),
)
def test_the_curve_lies_above_the_line_of_its_steepness(
    rises: list[float], steepness: float
) -> None:
    saliency = [sum(rises[: k + 1]) for k in range(len(rises))]
    wanted = cut(saliency, steepness).num_removed
    found = GroupReport.model_validate(
        group(num_groups=len(saliency), saliency=saliency, num_wanted=wanted, num_kept=1)
    )
    panel = curves.panels([found], steepness)[0]
    assert (panel.slope is not None) == (wanted > 0)
    if panel.slope is None:
        return
    x1, y1, x2, y2 = panel.slope
    decile = saliency[math.ceil(0.9 * (len(saliency) - 1))]
    for k, value in enumerate(saliency):
        x = curves.WIDTH * (k + 0.5) / len(saliency)
        if not x1 <= x <= x2 or value > decile:  # beyond it, the rule calls every height one
            continue
        line = y1 + (y2 - y1) * (x - x1) / max(1e-9, x2 - x1)
        share = (value - saliency[0]) / (saliency[-1] - saliency[0])
        height = curves.FOOT - (curves.FOOT - curves.TOP) * share
        assert height <= line + 0.5, "pictures grow downwards"


def test_long_curves_are_thinned_and_keep_their_cut() -> None:
    wide = GroupReport.model_validate(
        group(num_groups=5000, saliency=[k / 5000 for k in range(5000)], num_kept=1234)
    )
    panel = curves.panels([wide], None)[0]
    assert len(panel.removed + panel.kept) < 2000
    assert panel.cut == pytest.approx(curves.WIDTH * 3766 / 5000, abs=0.1)


def test_charts_stay_within_their_frame() -> None:
    found = [*training_charts(full_report()), search_chart(full_report())]
    assert [chart.title for chart in found if chart] == [
        "Loss of each epoch", "Accuracy of each epoch", "Learning-rate range test",
        "What the search found",
    ]  # fmt: skip
    for chart in found:
        assert chart is not None
        for line in chart.lines:
            for x, y in line.dots:
                assert charts.LEFT <= x <= charts.RIGHT
                assert charts.TOP <= y <= charts.BOTTOM
        assert all(charts.TOP <= level.at <= charts.BOTTOM for level in chart.levels)
        assert all(charts.LEFT <= moment.at <= charts.RIGHT for moment in chart.moments)
    assert not training_charts(least_report())


def test_the_accuracy_of_every_run_stands_beside_the_dense_networks() -> None:
    chart = training_charts(full_report())[1]
    assert [line.name for line in chart.lines] == [
        "pruned by the plan", "random pruning", "from scratch",
    ]  # fmt: skip
    assert [level.name for level in chart.levels] == ["dense"]
    assert chart.levels[0].at < min(y for line in chart.lines for _, y in line.dots)
    assert [moment.name for moment in chart.moments] == ["a cut"]


def test_the_chosen_learning_rate_is_marked_where_it_is() -> None:
    chart = training_charts(full_report())[2]
    share = math.log10(0.036 / 1e-3) / 1.9  # the curve climbs from 1e-3 by 1.9 decades
    expected = charts.LEFT + share * (charts.RIGHT - charts.LEFT)
    assert chart.moments[0].at == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("num_epochs", [1, 2, 8, 9, 100, 1000])
def test_epochs_are_numbered_with_few_whole_numbers(num_epochs: int) -> None:
    report = Report.model_validate(body() | {"history": history(0.9, num_epochs)})
    labels = [int(tick.label) for tick in training_charts(report)[0].x_ticks]
    assert labels[0] == 1
    assert max(labels) <= num_epochs
    assert len(labels) <= 9


def test_a_diverged_epoch_leaves_a_gap_and_no_chart_is_made_of_nothing() -> None:
    epochs = history(0.9)
    epochs[1]["validation_loss"] = None
    loss = training_charts(full_report(history=epochs))[0]
    assert [len(line.dots) for line in loss.lines] == [3, 2]
    for epoch in epochs:
        epoch["validation_metric"] = None
    titles = [chart.title for chart in training_charts(full_report(history=epochs, baselines=[]))]
    assert titles == ["Loss of each epoch", "Learning-rate range test"]

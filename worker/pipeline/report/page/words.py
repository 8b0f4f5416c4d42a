"""The report's sentences: the request, the result and the certificate."""

import statistics
from collections.abc import Mapping
from typing import Any

from app.contracts.report import (
    ChangeReport,
    EquivalenceReport,
    MetricsReport,
    NetworkReport,
    RepairReport,
    Report,
)
from worker.pipeline.report.page import formats, names

_FINAL_SPLITS = ("test", "validation")


def final_metrics(network: NetworkReport, runtime: str = "torch") -> MetricsReport | None:
    """Return the metrics for the verdict: of the test split, or else of validation."""
    return pick(network.metrics, runtime)


def pick(metrics: tuple[MetricsReport, ...], runtime: str = "torch") -> MetricsReport | None:
    """Return the metrics of the test split, or else of validation; None without samples."""
    for split in _FINAL_SPLITS:
        for found in metrics:
            if found.split == split and found.runtime == runtime:
                return found
    return None


def metric_value(name: str, value: float | None) -> str:
    """Return a metric as text: shares in percent, others with four significant digits."""
    if value is None:
        return formats.NOTHING
    return formats.percent(value) if name in names.SHARES else formats.significant(value, 4)


def metric_change(name: str, before: float | None, after: float | None) -> str:
    """Return the signed change of a metric: shares in points."""
    if before is None or after is None:
        return ""
    if name in names.SHARES:
        return formats.points(after - before)
    return formats.signed(f"{after - before:+.3g}")


def metric_interval(name: str, interval: tuple[float, float] | None) -> str:
    """Return the interval of a metric as text."""
    if interval is None:
        return formats.NOTHING
    if name in names.SHARES:
        return formats.span(*interval)
    low, high = (formats.significant(value) for value in interval)
    return f"{low} to {high}"


def change_text(name: str, change: ChangeReport | None) -> str:
    """Return a metric's change from the dense network, its interval, and if it is measurable."""
    if change is None:
        return formats.NOTHING
    if name in names.SHARES:
        text = f"{formats.points(change.difference)} ({change_span(name, change)})"
    else:
        text = formats.signed(f"{change.difference:+.3g} ({change_span(name, change)})")
    return text if change.is_measurable else f"{text}: no measurable difference"


def change_span(name: str, change: ChangeReport) -> str:
    """Return the interval of a change from the dense network as text."""
    if name in names.SHARES:
        return formats.points_span(change.low, change.high)
    return formats.signed(f"{change.low:+.3g} to {change.high:+.3g}")


def asked(report: Report) -> list[tuple[str, str]]:
    """Return the request in the config as (topic, description)."""
    config = report.config
    found = [
        ("How much", _selection(config["selection"])),
        ("Which filters", _criterion(report)),
    ]
    if report.task is not None:
        found.insert(0, ("Task", names.TASKS.get(report.task, report.task)))
    schedule = config.get("schedule", {})
    if schedule.get("kind") == "iterative":
        found.append(("When", f"in {schedule['rounds']} cuts while training goes on"))
    if report.repair is not None:
        found.append(("Repair", _repair(report.repair)))
    found.append(("Retraining", _retraining(report)))
    if report.epochs is not None and report.epochs.asked == "auto":
        found.append(("How long", report.epochs.reason))
    if report.int8 is not None:
        found.append(("Numbers", f"int8, losing at most {report.int8.max_drop:g}"))
    if report.kept is not None:
        found.append(("Kept", report.kept.reason))
    return found


def lead(report: Report) -> str:
    """Return the result in up to three sentences: cost, speed and quality."""
    dense, after = report.dense, report.retrained
    costs = [
        f"{_share(after.macs, dense.macs)} of the multiply-accumulates",
        f"{_share(after.num_parameters, dense.num_parameters)} of the parameters",
    ]
    text = " and ".join(costs)
    sentences = [
        f"The pruned network has {text} of the dense one.",
        _speed(report),
        _quality(report),
    ]
    return " ".join(filter(None, sentences))


def load_text(report: Report) -> str:
    """Return the machine's load during the latency measurement, in one sentence."""
    if report.load is None or report.load.is_busy is None:
        return "It is unknown whether the machine was busy with other work."
    if report.load.is_busy:
        return f"Measured under load: {report.load.reason}."
    return "The machine was not busy with other work."


def certificate(proof: EquivalenceReport) -> str:
    """Return what the certificate proves, in one or two sentences."""
    error = formats.scientific(proof.float64_max_relative_error)
    how = (
        f"put back at full size with zeros in every removed place, it gives the same outputs for "
        f"{proof.num_samples} inputs"
    )
    if proof.is_exact:
        return (
            f"The smaller network computes what it should: {how}, to within {error} of the largest "
            "output in double precision, which is rounding. Whatever changed its answers is which "
            "filters are gone and what was learnt since, not how they were taken out."
        )
    ops = ", ".join(proof.inexact_ops)
    rest = proof.exact_groups_float64_max_relative_error
    others = (
        f" The layers that must be exact were pruned by themselves as well, and are, to within "
        f"{formats.scientific(rest)}."
        if rest is not None
        else ""
    )
    return (
        f"Some removed channels pass through {ops}, which looks at all channels of a layer at "
        f"once, so removing them cannot be the same as zeroing them: {how} but for {error} of the "
        f"largest output.{others}"
    )


def _selection(selection: Mapping[str, Any]) -> str:
    mode = selection["mode"]
    if mode == "steepness":
        return (
            "cut each layer's saliency curve where it turns steep "
            f"(steepness {selection['steepness']:g})"
        )
    if mode == "ratio":
        where = "of every layer" if selection["scope"] == "layer" else "of the whole network"
        return f"remove {formats.percent(selection['ratio'], 0)} of the filters {where}"
    if mode == "budget":
        unit = next(unit for unit in names.UNITS if selection.get(unit) is not None)
        share = formats.percent(selection[unit], 1)
        return f"keep at most {share} of the {names.UNITS[unit]}"
    unit, drop = names.UNITS[selection["unit"]], formats.percent(selection["max_drop"], 2)
    return (
        f"as few {unit} as possible while the validation metric falls by no more than {drop} "
        "(absolute)"
    )


def _criterion(report: Report) -> str:
    words = names.CRITERIA.get(report.criterion, report.criterion)
    text = f"the least salient go; a filter's saliency is {words} ({report.criterion})"
    if report.criterion_trials:
        text += f", the best of {len(report.criterion_trials)} criteria that were tried"
    return text


def _repair(repair: RepairReport) -> str:
    if repair.kind == "fold":
        return (
            f"{formats.count(repair.num_merged)} of the removed channel groups merged into similar "
            "ones, without samples"
        )
    errors = [(refit.before, refit.after) for refit in repair.refits]
    if not errors:
        return "nothing to refit: no layer reads what was cut"
    before, after = (
        formats.percent(statistics.median(each), 0) for each in zip(*errors, strict=True)
    )
    return (
        f"{len(errors)} weights refitted from {formats.count(repair.num_samples)} samples, without "
        f"labels; the median error of a layer's outputs falls from {before} to {after}"
    )


def _retraining(report: Report) -> str:
    if report.objective is None:
        return "none"
    retrain, epochs = report.config["retrain"], len(report.history)
    words = names.OBJECTIVES.get(report.objective, report.objective)
    text = f"{epochs} epoch{'' if epochs == 1 else 's'} {words}, by {_optimizer(retrain)}"
    if report.learning_rate is not None:
        found = ", found by a range test" if report.range_test is not None else ""
        text += f" at a peak learning rate of {report.learning_rate:g}{found}"
    if retrain.get("mode") == "masked":
        text += "; at full size, with removed weights held at zero"
    return text


def _optimizer(retrain: Mapping[str, Any]) -> str:
    kind = str(retrain["optimizer"]["kind"])
    return {"sgd": "SGD", "adamw": "AdamW"}.get(kind, kind)


def _quality(report: Report) -> str:
    metric = report.metric
    before, after = final_metrics(report.dense), final_metrics(report.retrained)
    if metric is None or before is None or after is None:
        return "Without samples, nothing is known about its predictions."
    old, new = before.value(metric), after.value(metric)
    if old is None or new is None:
        return ""
    if metric == "agreement":
        return f"It answers as the dense one does on {formats.percent(new)} of {_these(after)}."
    change = after.change
    subject = f"{names.capital(names.METRICS[metric])} on {_these(after)} is"
    if old == new:
        return f"{subject} the same, {metric_value(metric, new)}."
    both = f"{subject} {metric_value(metric, new)} instead of {metric_value(metric, old)}"
    if change is not None and not change.is_measurable:
        return f"{both}: no measurable difference on so many samples."
    size = metric_change(metric, old, new).lstrip("+\N{MINUS SIGN}")
    return f"{both}: {size} {'more' if new > old else 'less'}."


def _speed(report: Report) -> str:
    for found in report.speedups[:1]:
        where = f"at batch size {found.batch_size}"
        if not found.is_measurable:
            return f"Its latency {where} differs by no more than chance."
        return f"It is {found.text.removesuffix(', slower')} as fast {where}."
    return ""


def _these(metrics: MetricsReport) -> str:
    return f"{formats.count(metrics.num_samples)} {metrics.split} samples"


def _share(after: float, before: float) -> str:
    return formats.percent(after / before, 0) if before else formats.NOTHING

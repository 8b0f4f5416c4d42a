"""The report in sentences: what was asked, what came out, and what the certificate says."""

from collections.abc import Mapping
from typing import Any

from app.contracts.report import EquivalenceReport, MetricsReport, NetworkReport, Report
from worker.pipeline.page import formats, names

_FINAL_SPLITS = ("test", "validation")


def final_metrics(network: NetworkReport, runtime: str = "torch") -> MetricsReport | None:
    """Return the scores that the verdict is about: of the test split, or else of validation."""
    return pick(network.metrics, runtime)


def pick(metrics: tuple[MetricsReport, ...], runtime: str = "torch") -> MetricsReport | None:
    """Return the scores of the test split, or else of validation; None without samples."""
    for split in _FINAL_SPLITS:
        for found in metrics:
            if found.split == split and found.runtime == runtime:
                return found
    return None


def metric_value(name: str, value: float | None) -> str:
    """Return a metric as people read it: shares in percent."""
    if value is None:
        return formats.NOTHING
    return formats.percent(value) if name in names.SHARES else formats.significant(value, 4)


def metric_change(name: str, before: float | None, after: float | None) -> str:
    """Return how a metric has changed, with a sign."""
    if before is None or after is None:
        return ""
    if name in names.SHARES:
        return formats.points(after - before)
    return formats.signed(f"{after - before:+.3g}")


def asked(report: Report) -> list[tuple[str, str]]:
    """Return what the config asked for, as (what, how)."""
    config = report.config
    found = [
        ("How much", _selection(config["selection"])),
        ("Which filters", _criterion(report)),
    ]
    schedule = config.get("schedule", {})
    if schedule.get("kind") == "iterative":
        found.append(("When", f"in {schedule['rounds']} cuts while training goes on"))
    found.append(("Retraining", _retraining(report)))
    if report.epochs is not None and report.epochs.asked == "auto":
        found.append(("How long", report.epochs.reason))
    if report.kept is not None:
        found.append(("Kept", report.kept.reason))
    return found


def lead(report: Report) -> str:
    """Return what came out, in one sentence."""
    dense, after = report.dense, report.retrained
    costs = [
        f"{_share(after.macs, dense.macs)} of the multiply-accumulates",
        f"{_share(after.num_parameters, dense.num_parameters)} of the parameters",
    ]
    for before, now in zip(dense.latency_seconds[:1], after.latency_seconds[:1], strict=True):
        share = _share(now.p50, before.p50)
        costs.append(f"{share} of the latency at batch size {now.batch_size}")
    is_plural = len(costs) > 2  # noqa: PLR2004  # a list of three takes two commas
    text = ", ".join(costs[:-1]) + (", and " if is_plural else " and ") + costs[-1]
    return f"The pruned network has {text} of the dense one. {_quality(report)}"


def certificate(proof: EquivalenceReport) -> str:
    """Return what the certificate proves, in one sentence."""
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
        return "Without samples, nothing is known about its answers."
    old, new = before.value(metric), after.value(metric)
    if old is None or new is None:
        return ""
    if metric == "agreement":
        return f"It answers as the dense one does on {formats.percent(new)} of {_these(after)}."
    subject = f"{names.capital(names.METRICS[metric])} on {_these(after)} is"
    if old == new:
        return f"{subject} the same, {metric_value(metric, new)}."
    change = metric_change(metric, old, new).lstrip("+\N{MINUS SIGN}")
    return (
        f"{subject} {metric_value(metric, new)} instead of {metric_value(metric, old)}: "
        f"{change} {'more' if new > old else 'less'}."
    )


def _these(metrics: MetricsReport) -> str:
    return f"{formats.count(metrics.num_samples)} {metrics.split} samples"


def _share(after: float, before: float) -> str:
    return formats.percent(after / before, 0) if before else formats.NOTHING

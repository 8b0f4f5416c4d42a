"""Chooses the charts of a report and writes their text alternatives for screen readers."""

from collections.abc import Sequence

from app.contracts.report import EpochReport, Report
from app.drawing.scales import Scale
from worker.pipeline.report.page import formats, names
from worker.pipeline.report.page.charts import (
    LEFT,
    RIGHT,
    Chart,
    Mark,
    Series,
    Words,
    epoch_axis,
    line_chart,
)
from worker.pipeline.report.page.words import metric_value

_SPLIT = "validation"


def training_charts(report: Report) -> list[Chart]:
    """Return the charts of the losses, the main metric and the range test."""
    found = [_losses(report), _metric(report), _range_test(report)]
    return [chart for chart in found if chart is not None]


def search_chart(report: Report) -> Chart | None:
    """Return the chart of trials, drop against remaining cost; None for fewer than two costs."""
    unit = report.config["selection"].get("unit", "macs")
    trials = report.accuracy_trials
    shares = [t.macs if unit == "macs" else t.params for t in trials]
    if len(set(shares)) < 2:  # noqa: PLR2004  # an axis needs two values
        return None
    room = 0.06 * (max(shares) - min(shares))
    x = Scale(100 * (min(shares) - room), 100 * (max(shares) + room), LEFT, RIGHT)
    limit = 100 * float(report.config["selection"]["max_drop"])
    words = Words(
        "What the search found",
        f"{len(trials)} trials between {min(shares):.3f} and {max(shares):.3f} of the "
        f"{names.UNITS[unit]}; the table below has their numbers.",
        f"{names.UNITS[unit]} left, percent",
        f"drop of the {_SPLIT} metric, points",
    )
    series = [
        Series(name, colour, sorted(values))
        for name, colour, is_trained in (("not trained", "dense", False), ("trained", "kept", True))
        for values in [
            [
                (100 * share, None if trial.drop is None else 100 * trial.drop)
                for share, trial in zip(shares, trials, strict=True)
                if trial.is_trained is is_trained
            ]
        ]
        if values
    ]
    return line_chart(words, series, x, levels=[Mark("most allowed", limit)])


def _losses(report: Report) -> Chart | None:
    history = report.history
    if not history:
        return None
    x, ticks = epoch_axis(history[-1].epoch)
    labels = report.data.labels if report.data is not None else None
    trained = names.TRAINED_LOSS.get(report.objective or "", "")
    validated = names.VALIDATED_LOSS.get(labels or "", "")
    series = [
        Series(_named("training", trained), "dense", [(e.epoch, e.train_loss) for e in history]),
        Series(_named(_SPLIT, validated), "kept", [(e.epoch, e.validation_loss) for e in history]),
    ]
    first, last = history[0], history[-1]
    summary = (
        f"Training loss from {first.train_loss:.3g} to {last.train_loss:.3g}"
        + _from_to("; validation loss", first.validation_loss, last.validation_loss)
        + f" in {last.epoch} epochs."
    )
    words = Words("Loss of each epoch", summary, "epoch", "loss")
    return line_chart(words, series, x, x_ticks=ticks, moments=_cuts(report))


def _metric(report: Report) -> Chart | None:
    metric, history = report.metric, report.history
    if metric is None or not history:
        return None
    factor = 100 if metric in names.SHARES else 1
    x, ticks = epoch_axis(history[-1].epoch)
    series = [Series("pruned by the plan", "kept", _metric_values(history, factor))]
    series += [
        Series(names.BASELINES[b.kind], f"baseline-{b.kind}", _metric_values(b.history, factor))
        for b in report.baselines
    ]
    dense = next((m.value(metric) for m in report.dense.metrics if m.split == _SPLIT), None)
    levels = [] if dense is None or metric == "agreement" else [Mark("dense", factor * dense)]
    name = names.METRICS[metric]
    last = history[-1].validation_metric
    summary = f"{name}, {_SPLIT} split: {metric_value(metric, last)} after the last epoch" + (
        f"; the dense network has {metric_value(metric, dense)}." if levels else "."
    )
    title = f"{names.capital(name)} of each epoch"
    words = Words(title, summary, "epoch", name + (", percent" if factor == 100 else ""))  # noqa: PLR2004
    return line_chart(words, series, x, x_ticks=ticks, levels=levels, moments=_cuts(report))


def _range_test(report: Report) -> Chart | None:
    found = report.range_test
    if found is None or len(found.curve) < 2:  # noqa: PLR2004  # a curve needs two points
        return None
    rates = [rate for rate, _ in found.curve]
    low, high = min(*rates, found.learning_rate), max(*rates, found.learning_rate)
    x = Scale(low, high, LEFT, RIGHT, is_log=True)
    best = min(found.curve, key=lambda point: point[1])[0]
    summary = (
        f"The learning rate climbs from {rates[0]:.1e} to {rates[-1]:.1e}; the loss is least at "
        f"{best:.2g}, and {found.learning_rate:g} is used."
    )
    words = Words("Learning-rate range test", summary, "learning rate", "smoothed training loss")
    chosen = Mark(f"{found.learning_rate:g} is used", found.learning_rate)
    return line_chart(words, [Series("loss", "kept bare", found.curve)], x, moments=[chosen])


def _metric_values(
    history: Sequence[EpochReport], factor: float
) -> list[tuple[float, float | None]]:
    return [
        (e.epoch, None if e.validation_metric is None else factor * e.validation_metric)
        for e in history
    ]


def _cuts(report: Report) -> list[Mark]:
    """Return marks for the cuts made during training, in epochs."""
    if report.data is None or not report.cuts:
        return []
    num_samples = report.data.splits.get("train", 0)
    steps = num_samples // max(1, min(int(report.config["retrain"]["batch_size"]), num_samples))
    at = [cut.step / max(1, steps) for cut in report.cuts]
    return [Mark("a cut", place) for place in at if place >= 1]


def _named(name: str, what: str) -> str:
    return f"{name}: {what}" if what else name


def _from_to(name: str, before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return ""
    return f"{name} from {formats.significant(before)} to {formats.significant(after)}"

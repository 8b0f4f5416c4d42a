"""The report page's section about the int8 file."""

from dataclasses import dataclass

from app.contracts.report import FloatLayerReport, Int8Report, Int8Trial, MetricsReport, Report
from worker.pipeline.report.page import formats, names
from worker.pipeline.report.page.tables import Row
from worker.pipeline.report.page.words import metric_interval, metric_value

_RECIPES = {
    "layers": "convolutions and matrix products",
    "layers_and_sums": "sums and poolings as well",
    "all": "all that ONNX Runtime can",
}
# Elsewhere in the report these compare with the dense network.
_AGAINST_FP32 = {
    "agreement": "Agreement with the fp32 file",
    "output_error": "Distance to the outputs of the fp32 file",
}
_ENDS = "the first and last layers"


@dataclass(frozen=True)
class Int8Section:
    """Contents of the section.

    Attributes:
        reason: Why there is an int8 file, or why there is none.
        rows: The fp32 and the int8 file in numbers; empty if nothing was measured.
        texts: What else there is to know.
        float_layers: Layers that stay in fp32.
        trials: Files that were tried.
    """

    reason: str
    rows: tuple[Row, ...]
    texts: tuple[str, ...]
    float_layers: tuple[FloatLayerReport, ...]
    trials: tuple[Row, ...]


def int8_section(report: Report) -> Int8Section | None:
    """Return the section; None if no int8 file was asked for."""
    found = report.int8
    if found is None:
        return None
    return Int8Section(
        found.reason,
        tuple(_rows(found, report.metric)),
        tuple(_texts(found)),
        found.float_layers,
        tuple(_trial(trial) for trial in found.trials),
    )


def _rows(found: Int8Report, metric: str | None) -> list[Row]:
    rows = []
    if found.metric is not None:
        name = _AGAINST_FP32.get(found.metric) or names.capital(names.METRICS[found.metric])
        values = (metric_value(found.metric, each) for each in (found.before, found.after))
        judged = f"{formats.count(found.num_judged)} validation samples"
        rows.append(Row(f"{name}, {judged}", (*values, "")))
    if found.agreement is not None and found.metric != "agreement":
        text = formats.percent(found.agreement)
        rows.append(Row("The same best class as the fp32 file", ("", text, "")))
    rows += [_metrics_row(each, metric) for each in found.metrics if metric is not None]
    if found.file_bytes is not None:
        before, after = found.file_bytes
        cells = (formats.size(before), formats.size(after), formats.percent(after / before, 0))
        rows.append(Row("File", cells))
    for a, b, speedup in zip(
        found.fp32_latency_seconds, found.latency_seconds, found.speedups, strict=True
    ):
        times = (formats.seconds(a.p50), formats.seconds(b.p50))
        rows.append(Row(f"Latency, batch {a.batch_size}: median", (*times, speedup.text)))
    return rows


def _metrics_row(found: MetricsReport, metric: str | None) -> Row:
    assert metric is not None  # noqa: S101  # the caller has looked
    interval = "" if found.interval is None else f" ({metric_interval(metric, found.interval)})"
    text = metric_value(metric, found.value(metric)) + interval
    name = names.capital(names.METRICS[metric])
    return Row(f"{name}, {found.split} split", ("", text, ""))


def _texts(found: Int8Report) -> list[str]:
    texts = list(found.notes)
    if found.num_integer is not None:
        texts.append(
            f"ONNX Runtime computes {found.num_integer} convolutions and matrix products of the "
            f"int8 file in integers and {found.num_float} in fp32, with {found.num_conversions} "
            "conversions between them."
        )
    if found.is_kept and not found.is_served:
        texts.append(
            f"The file is for {found.target}, which is not what serves here: its speed is to be "
            "measured there, and it is not served."
        )
    return texts


def _trial(trial: Int8Trial) -> Row:
    others = f"{trial.num_float} of the others" if trial.num_float else ""
    in_float = " and ".join(filter(None, (_ENDS if trial.has_float_ends else "", others)))
    speed = formats.NOTHING if trial.speedup is None else f"{trial.speedup:.2f}x"
    drop = formats.NOTHING if trial.drop is None else formats.significant(trial.drop)
    name = _RECIPES.get(trial.recipe, trial.recipe)
    if trial.trouble:
        return Row(name, (trial.calibration, in_float or "none", trial.trouble, formats.NOTHING))
    return Row(name, (trial.calibration, in_float or "none", speed, drop))

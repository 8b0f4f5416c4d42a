"""The report's tables: rows of text, and tiles whose shares are drawn as bars."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from app.contracts.report import ChangeReport, MetricsReport, Report
from app.contracts.spec import PruneConfig
from worker.pipeline.report.page import formats, names
from worker.pipeline.report.page.words import (
    change_span,
    change_text,
    metric_change,
    metric_interval,
    metric_value,
    pick,
)

_SPLITS = ("test", "validation")
_MOST_FROZEN = 100


@dataclass(frozen=True)
class Row:
    """A row: its heading, its cells, and whether it has the main metric."""

    name: str
    cells: tuple[str, ...]
    is_main: bool = False


@dataclass(frozen=True)
class Tile:
    """One number of the verdict.

    Attributes:
        name: Name of the quantity.
        value: Value of the pruned network.
        before: Value of the dense network, and the change.
        share: Share of the dense network's value, drawn as a bar; None for no bar.
    """

    name: str
    value: str
    before: str
    share: float | None = None


def tiles(report: Report) -> list[Tile]:
    """Return the numbers of the verdict, the main metric first."""
    dense, after = report.dense, report.retrained
    found = []
    before, now = pick(dense.metrics), pick(after.metrics)
    if report.metric is not None and before is not None and now is not None:
        old, new = before.value(report.metric), now.value(report.metric)
        change = metric_change(report.metric, old, new)
        base = f"dense {metric_value(report.metric, old)}, {change}"
        if now.change is not None:
            change = change_text(report.metric, now.change)
            base = f"dense {metric_value(report.metric, old)}: {change}"
        if report.metric == "agreement":
            base = f"of {formats.count(now.num_samples)} {now.split} samples"
        if now.interval is not None:
            base += f"; 95 % interval {metric_interval(report.metric, now.interval)}"
        name = names.capital(names.METRICS[report.metric])
        found.append(Tile(name, metric_value(report.metric, new), base))
    found += [
        _cost("Work (MACs)", dense.macs, after.macs, formats.short),
        _cost("Parameters", dense.num_parameters, after.num_parameters, formats.short),
    ]
    if after.file_bytes:
        found.append(_cost("ONNX file", dense.file_bytes, after.file_bytes, formats.size))
    pairs = zip(dense.latency_seconds[:1], after.latency_seconds[:1], strict=True)
    for a, b in pairs:
        tile = _cost(f"Latency, batch {b.batch_size}", a.p50, b.p50, formats.seconds)
        text = f"{_speedup(report, b.batch_size)}; dense {formats.seconds(a.p50)}"
        tails = f"95th percentile {formats.seconds(b.p95)}, dense {formats.seconds(a.p95)}"
        found.append(replace(tile, before=f"{text}; {tails}"))
    return found


@dataclass(frozen=True)
class Comparison:
    """Metrics of all networks on one split."""

    split: str
    num_samples: int
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def comparisons(report: Report) -> list[Comparison]:
    """Return the metrics of all networks by split, the test split first.

    Baselines and the served file have their own columns.
    """
    stages = [
        ("dense", report.dense.metrics),
        ("pruned", report.pruned.metrics),
        ("recalibrated", report.recalibrated_metrics),
        *([("repaired", report.repaired.metrics)] if report.repaired is not None else []),
        ("retrained", report.retrained.metrics),
    ]
    stages += [(names.BASELINES[b.kind], b.metrics) for b in report.baselines]
    found = []
    for split in _SPLITS:
        columns = [_on(metrics, split, "torch") for _, metrics in stages]
        columns.append(_on(report.retrained.metrics, split, "onnxruntime"))
        num_samples = next((m.num_samples for m in columns if m is not None), 0)
        if num_samples:
            rows = [_metric_row(report.metric, metric, columns) for metric in names.METRICS]
            titles = (*(name for name, _ in stages), "as served")
            kept = tuple(row for row in (*rows, *_doubt_rows(report.metric, columns)) if row)
            found.append(Comparison(split, num_samples, titles, kept))
    return found


def by_class(report: Report) -> Comparison | None:
    """Return the metrics of every class, dense and pruned; None for labels without them."""
    before, after = pick(report.dense.metrics), pick(report.retrained.metrics)
    if before is None or after is None or not after.classes:
        return None
    old = {each.number: each for each in before.classes}
    metrics = tuple(after.classes[0].values)
    rows = []
    for each in after.classes:
        cells = []
        for name in metrics:
            dense = old[each.number].values.get(name) if each.number in old else None
            value, interval = metric_value(name, each.values[name]), each.intervals.get(name)
            span = f" ({metric_interval(name, interval)})" if interval is not None else ""
            cells += [metric_value(name, dense), f"{value}{span}"]
        rows.append(Row(each.name, tuple(cells)))
    columns = [f"{names.METRICS[m]}, {which}" for m in metrics for which in ("dense", "pruned")]
    return Comparison(after.split, after.num_samples, tuple(columns), tuple(rows))


def costs(report: Report) -> list[Row]:
    """Return rows of costs: dense, pruned, and the share that remains or the speedup."""
    dense, after = report.dense, report.retrained
    rows = [
        _cost_row("Multiply-accumulates of one sample", dense.macs, after.macs, formats.count),
        _cost_row("Parameters", dense.num_parameters, after.num_parameters, formats.count),
    ]
    if after.file_bytes:
        sizes = dense.file_bytes, after.file_bytes
        rows.append(_cost_row("ONNX file, bytes", *sizes, formats.count))
    for a, b in zip(dense.latency_seconds, after.latency_seconds, strict=True):
        where = f"batch {a.batch_size}, {a.num_threads} thread{'' if a.num_threads == 1 else 's'}"
        times = (formats.seconds(a.p50), formats.seconds(b.p50))
        rows.append(Row(f"Latency, {where}: median", (*times, _speedup(report, a.batch_size))))
        rows.append(
            Row(
                f"95th percentile, batch {a.batch_size}",
                (formats.seconds(a.p95), formats.seconds(b.p95), ""),
            )
        )
    return rows


def frozen(report: Report) -> tuple[list[Row], int]:
    """Return rows of frozen filters, at most 100, and the number of rows left out."""
    rows = [
        Row(
            f"{found.tensor}[{found.dim}]",
            (
                formats.count(found.num_channels),
                found.reason,
                " ".join(filter(None, (found.op, found.source.rpartition("/")[2]))),
            ),
        )
        for found in report.frozen
    ]
    return rows[:_MOST_FROZEN], max(0, len(rows) - _MOST_FROZEN)


def not_default(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the values of a config that differ from the defaults, as (path, value)."""
    return list(_changes(PruneConfig.model_validate(config)))


def _changes(spec: BaseModel, path: str = "") -> Iterator[tuple[str, str]]:
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        if isinstance(value, BaseModel):
            yield from _changes(value, f"{path}{name}.")
        elif value != field.get_default(call_default_factory=True):
            yield f"{path}{name}", _text(spec.model_dump(mode="json")[name])


def _text(value: object) -> str:
    """Return part of a config as one line of text."""
    if isinstance(value, Mapping):
        given = {key: each for key, each in value.items() if each is not None}
        inner = any(isinstance(each, Mapping) for each in given.values())
        mark = ": " if inner else " "
        return ", ".join(f"{key}{mark}{_text(each)}" for key, each in given.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value)) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _on(metrics: Sequence[MetricsReport], split: str, runtime: str) -> MetricsReport | None:
    return next((m for m in metrics if (m.split, m.runtime) == (split, runtime)), None)


def _metric_row(
    primary: str | None, metric: str, columns: Sequence[MetricsReport | None]
) -> Row | None:
    values = [found.value(metric) if found is not None else None for found in columns]
    if all(value is None for value in values):
        return None
    cells = tuple(metric_value(metric, value) for value in values)
    return Row(names.capital(names.METRICS[metric]), cells, metric == primary)


def _doubt_rows(primary: str | None, columns: Sequence[MetricsReport | None]) -> list[Row]:
    """Return rows with the intervals of the main metric and its change from the dense network."""
    name = names.METRICS.get(primary or "", "metric")
    found = [column for column in columns if column is not None]
    rows = []
    if primary and any(column.interval is not None for column in found):
        cells = tuple(metric_interval(primary, c.interval if c else None) for c in columns)
        rows.append(Row(f"{names.capital(name)}, 95 % interval", cells))
    if primary and any(column.change is not None for column in found):
        cells = tuple(_short_change(primary, c.change if c else None) for c in columns)
        rows.append(Row("Difference from dense, 95 % interval", cells))
    return rows


def _short_change(primary: str, change: ChangeReport | None) -> str:
    if change is None:
        return formats.NOTHING
    return change_span(primary, change) + ("" if change.is_measurable else ", none")


def _speedup(report: Report, batch_size: int) -> str:
    for found in report.speedups:
        if found.batch_size == batch_size:
            return found.text
    medians = [
        latency.p50
        for network in (report.dense, report.retrained)
        for latency in network.latency_seconds
        if latency.batch_size == batch_size
    ]
    return f"{medians[0] / medians[1]:.1f}x, uncertainty unknown"  # reports of releases before 0.2


def _cost(name: str, before: Any, after: Any, text: Any) -> Tile:  # noqa: ANN401
    share = after / before if before else None
    return Tile(
        name, text(after), f"{formats.percent(share, 0)} of the dense {text(before)}", share
    )


def _cost_row(name: str, before: Any, after: Any, text: Any) -> Row:  # noqa: ANN401
    share = after / before if before else None
    return Row(name, (text(before), text(after), formats.percent(share, 1)))

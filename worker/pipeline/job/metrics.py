"""Conversion of metrics to report models."""

import math
from collections.abc import Sequence
from typing import Any, Literal

from app.contracts.report import ChangeReport, ClassReport, MetricsReport
from secateur.engine.metrics import ByClass, Metrics
from worker.pipeline.data import Split

_MOST = 100  # classes in a report


def finite(value: float | None) -> float | None:
    """Return the value, or None for NaN and infinity, which JSON cannot represent."""
    return value if value is not None and math.isfinite(value) else None


def metrics_report(
    metrics: Metrics,
    split: Split,
    runtime: Literal["torch", "onnxruntime"],
    class_names: Sequence[str] = (),
) -> MetricsReport:
    """Return metrics on a split as the report shows them."""
    return MetricsReport(
        split="test" if split is Split.TEST else "validation",
        runtime=runtime,
        num_samples=metrics.num_samples,
        loss=finite(metrics.loss),
        **{name: finite(value) for name, value in metrics.values.items()},
        **doubt_report(metrics),
        classes=tuple(_class_report(each, class_names) for each in metrics.by_class()[:_MOST]),
    )


def _class_report(found: ByClass, names: Sequence[str]) -> ClassReport:
    name = names[found.number] if found.number < len(names) else str(found.number)
    return ClassReport(
        number=found.number,
        name=name,
        values={key: finite(value) for key, value in found.values.items()},
        intervals={
            key: ends for key, ends in found.intervals.items() if all(map(math.isfinite, ends))
        },
    )


def doubt_report(metrics: Metrics) -> dict[str, Any]:
    """Return the primary metric's confidence ``interval`` and ``change`` from the dense network."""
    doubt = metrics.doubt()
    change = doubt.change
    if change is None or not all(map(math.isfinite, (change.low, change.high))):
        reported = None
    else:
        reported = ChangeReport(
            difference=change.difference,
            low=change.low,
            high=change.high,
            num_lost=change.num_lost,
            num_won=change.num_won,
            is_measurable=not change.low <= 0 <= change.high,
        )
    interval = doubt.interval
    if interval is not None and not all(map(math.isfinite, interval)):
        interval = None
    return {"interval": interval, "change": reported}

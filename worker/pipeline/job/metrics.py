"""Conversion of metrics to report models."""

import math
from typing import Any, Literal

from app.contracts.report import ChangeReport, MetricsReport
from secateur.engine.metrics import Metrics
from worker.pipeline.data import Split


def finite(value: float | None) -> float | None:
    """Return the value, or None for NaN and infinity, which JSON cannot represent."""
    return value if value is not None and math.isfinite(value) else None


def metrics_report(
    metrics: Metrics, split: Split, runtime: Literal["torch", "onnxruntime"]
) -> MetricsReport:
    """Return metrics on a split as the report shows them."""
    return MetricsReport(
        split="test" if split is Split.TEST else "validation",
        runtime=runtime,
        num_samples=metrics.num_samples,
        loss=finite(metrics.loss),
        **{name: finite(value) for name, value in metrics.values.items()},
        **doubt_report(metrics),
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

"""Scores of a network, as the report has them."""

import math
from typing import Any, Literal

from app.contracts.report import ChangeReport, MetricsReport
from secateur.engine.metrics import Metrics
from worker.pipeline.data import Split


def finite(value: float | None) -> float | None:
    """Return a number that JSON can hold: None for NaN and infinities."""
    return value if value is not None and math.isfinite(value) else None


def metrics_report(
    metrics: Metrics, split: Split, runtime: Literal["torch", "onnxruntime"]
) -> MetricsReport:
    """Return the scores of a network on a split."""
    return MetricsReport(
        split="test" if split is Split.TEST else "validation",
        runtime=runtime,
        num_samples=metrics.num_samples,
        loss=finite(metrics.loss),
        **{name: finite(value) for name, value in metrics.values.items()},
        **doubt_report(metrics),
    )


def doubt_report(metrics: Metrics) -> dict[str, Any]:
    """Return how far the metric that counts may be off: `interval` and `change`."""
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

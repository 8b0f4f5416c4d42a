"""The report's part about the int8 file."""

from app.contracts.report import FloatLayerReport, Int8Report, Int8Trial
from secateur.engine.quantize import Quality, Trial
from worker.pipeline.job.metrics import finite
from worker.pipeline.job.results import Int8
from worker.pipeline.report.describe import latency_reports, speedup_reports


def int8_report(int8: Int8 | None) -> Int8Report | None:
    """Return the int8 file as the report shows it; None if it was not asked for."""
    if int8 is None:
        return None
    found = int8.found
    chosen, latency = found.chosen, found.latency
    fusion = chosen.fusion if chosen is not None else None
    quality = found.after or found.before
    return Int8Report(
        is_kept=found.is_kept,
        is_served=int8.is_served,
        reason=found.reason,
        target=found.types.name,
        max_drop=found.max_drop,
        metric=quality.metric if quality is not None else None,
        before=_value(found.before),
        after=_value(found.after),
        num_judged=quality.num_samples if quality is not None else 0,
        num_samples=found.num_samples,
        agreement=int8.agreement,
        recipe=chosen.recipe if chosen is not None else None,
        calibration=chosen.calibration if chosen is not None else None,
        file_bytes=found.num_bytes,
        fp32_latency_seconds=() if latency is None else latency_reports(latency.latencies[0]),
        latency_seconds=() if latency is None else latency_reports(latency.latencies[1]),
        speedups=()
        if latency is None
        else speedup_reports(latency.speedups[0], latency.latencies[1]),
        num_integer=fusion.num_integer if fusion is not None else None,
        num_float=fusion.num_float if fusion is not None else None,
        num_conversions=fusion.num_conversions if fusion is not None else None,
        float_layers=tuple(
            FloatLayerReport(name=each.name, op=each.op, reason=each.reason)
            for each in found.float_layers
        ),
        trials=tuple(_trial(each) for each in found.trials),
        metrics=int8.metrics,
        notes=found.notes,
    )


def _value(quality: Quality | None) -> float | None:
    return None if quality is None else finite(quality.value)


def _trial(trial: Trial) -> Int8Trial:
    return Int8Trial(
        recipe=trial.recipe,
        calibration=trial.calibration,
        has_float_ends=trial.has_float_ends,
        num_float=trial.num_float,
        speedup=trial.speedup,
        drop=finite(trial.drop),
        trouble=trial.trouble,
    )

"""The report page's table of export targets."""

from app.contracts.report import ExportTargetReport, Report
from worker.pipeline.report.page import formats
from worker.pipeline.report.page.tables import Row

_NOTHING = "-"


def target_rows(report: Report) -> tuple[Row, ...]:
    """Return one row for each target: files, size, agreement, difference, latency, speed."""
    return tuple(Row(_name(each), _cells(each)) for each in report.export_targets)


def _name(found: ExportTargetReport) -> str:
    opset = f", opset {found.opset}" if found.opset is not None else ""
    return f"{found.title} ({found.precision}{opset})" if found.num_samples else found.title


def _cells(found: ExportTargetReport) -> tuple[str, ...]:
    if found.refusal is not None:
        return (f"left out: {found.refusal}", *[_NOTHING] * 5)
    files = ", ".join((*found.files, found.script or ""))
    size = formats.size(found.num_bytes)
    if found.max_absolute_error is None or found.allowed_error is None:
        return (files, size, "not run here", *[_NOTHING] * 3)
    latency, speedup = found.latency_seconds[:1], found.speedups[:1]
    return (
        files,
        size,
        formats.percent(found.agreement),
        f"{found.max_absolute_error:.2g} of {found.allowed_error:.2g}",
        formats.seconds(latency[0].p50) if latency else _NOTHING,
        speedup[0].text if speedup else _NOTHING,
    )

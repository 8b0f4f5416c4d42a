"""Output of commands: tables for people, JSON for scripts. `progress` draws the bars."""

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import typer
from pydantic import BaseModel
from rich.table import Column, Table
from rich.text import Text

from app.terminal import LiteralConsole, visible
from secateur.types import (
    ComparedJob,
    Dataset,
    DeviceLatencies,
    JobComparison,
    JobData,
    JobResult,
    Latency,
    Model,
    Network,
    Plan,
    Share,
    SweepData,
)

_MOST_CLASSES = 20
_WIDE = 200  # columns, if the output is not a terminal
SERIOUS = "serious"
_VERDICTS = {"ready": "green", "uncertain": "yellow", "not_ready": "red"}
_UNITS = ("", " k", " M", " G", " T")
_THOUSAND = 1000
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def console(*, is_result: bool = True) -> LiteralConsole:
    """Return a console on standard output for results, or on standard error for messages."""
    stream = sys.stdout if is_result else sys.stderr
    return LiteralConsole(file=stream, width=None if stream.isatty() else _WIDE)


def say(text: object, *, is_result: bool = False, colour: str | None = None) -> None:
    """Print a line: a result on standard output, or a message on standard error."""
    typer.secho(visible(text), fg=colour, err=not is_result)


def print_json(value: Any) -> None:  # noqa: ANN401  # any response
    """Print a response, or a list of responses, as JSON."""
    print(json.dumps(_plain(value), indent=1 if sys.stdout.isatty() else None))  # noqa: T201


def model_table(models: Sequence[Model]) -> Table:
    """Return models as a table."""
    table = Table(_id_column("model"), "name", "version", "status", *_right("parameters", "MACs"))
    table.add_column("from")
    table.add_column("made", justify="right")
    for model in models:
        sizes = (_number(model.num_parameters), _number(model.macs))
        origin = model.job or model.filename or ""
        age = _age(model.created_at)
        table.add_row(model.id, model.name, model.version, model.status, *sizes, origin, age)
    return table


def dataset_table(datasets: Sequence[Dataset]) -> Table:
    """Return data sets as a table."""
    table = Table(_id_column("data set"), "name", "status", "format")
    for title in ("samples", "bytes", "notes"):
        table.add_column(title, justify="right")
    table.add_column("made", justify="right")
    for data in datasets:
        num_samples = (data.summary or {}).get("num_samples")
        num_notes = str(len(data.warnings)) if data.warnings else ""
        sizes = (_number(num_samples), _number(data.num_bytes), num_notes)
        age = _age(data.created_at)
        table.add_row(data.id, data.name, data.status, data.format, *sizes, age)
    return table


def latencies_table(found: Sequence[DeviceLatencies]) -> Table:
    """Return latencies of devices as a table."""
    table = Table(_id_column("latencies"), "name", "device", "runtime", "precisions")
    for title in ("threads", "batch", "rows", "made"):
        table.add_column(title, justify="right")
    for each in found:
        runtime = f"{each.runtime} {each.runtime_version}"
        numbers = (each.num_threads, each.batch_size, each.num_rows)
        age = _age(each.created_at)
        texts = (each.id, each.name, each.device, runtime, ", ".join(each.precisions))
        table.add_row(*texts, *map(_number, numbers), age)
    return table


def share_table(shares: Sequence[Share]) -> Table:
    """Return links to reports as a table."""
    table = Table(_id_column("link"), _id_column("job"), "state", "valid until", "created by")
    for each in shares:
        end = "" if each.expires_at is None else f"{each.expires_at:%Y-%m-%d %H:%M} UTC"
        table.add_row(each.id, each.job, each.state, end, each.created_by or "")
    return table


def summary_table(summary: Mapping[str, Any]) -> Table:
    """Return the intake's summary of a data set as a table."""
    table = Table("", "found", show_header=False)
    parts = [f"{size:,} {name}" for name, size in summary.get("splits", {}).items() if size]
    table.add_row("samples", f"{_number(summary.get('num_samples'))}: {', '.join(parts)}")
    shape = " x ".join(map(str, summary.get("sample_shape", ())))
    table.add_row("each", f"{shape}, {summary.get('dtype', '')}")
    table.add_row("labels", str(summary.get("labels", "")))
    names, counts = summary.get("class_names", ()), summary.get("class_counts", ())
    if counts:
        shown = [
            f"{names[number] if number < len(names) else number}: {count:,}"
            for number, count in enumerate(counts[:_MOST_CLASSES])
        ]
        more = [f"and {len(counts) - _MOST_CLASSES} more"] if len(counts) > _MOST_CLASSES else []
        table.add_row("classes", "\n".join([*shown, *more]))
    for entry in summary.get("left_out", ()):
        table.add_row("left out", f"{entry['count']:,} x {entry['what']}: {entry['reason']}")
    return table


def job_table(jobs: Sequence[JobData], model_names: Mapping[str, str] | None = None) -> Table:
    """Return jobs as a table: name, model, aim, quality and speed.

    Args:
        jobs: The jobs.
        model_names: Names of models by id; jobs of others show the id.
    """
    table = Table(_id_column("job"), "name", "model", "status", "aim")
    for title in ("quality", "speed", "made"):
        table.add_column(title, justify="right")
    for job in jobs:
        status = job.status
        if job.error is not None:
            status = f"{status}: {job.error.code}"
        elif job.stage is not None and not job.is_final:
            done = f" {job.progress.fraction:.0%}" if job.progress is not None else ""
            status = f"{status}: {job.stage}{done}"
        aim = job.goal or _short((job.resolved or job.config).get("selection"))
        model = (model_names or {}).get(job.model or "", job.model or "")
        name = ", ".join(filter(None, [job.name, *(f"#{tag}" for tag in job.tags)]))
        table.add_row(job.id, name, model, status, aim, *_outcome(job), _age(job.created_at))
    return table


def _outcome(job: JobData) -> tuple[str, str]:
    """Return quality and speed of a job's network, or empty texts."""
    if job.result is None:
        return "", ""
    summary = job.result.summary
    speed = summary.speedups[0].text.partition(" (")[0] if summary.speedups else ""
    return _value(summary.retrained.value(summary.metric)), speed


def comparison_table(found: JobComparison) -> Table:
    """Return jobs side by side: results, then the settings in which they differ."""
    table = Table("", *_right(*(job.name or job.job for job in found.jobs)))
    for title, show in _COMPARED:
        table.add_row(title, *(show(job) for job in found.jobs))
    table.add_section()
    for pointer, values in found.differences.items():
        table.add_row(pointer, *("" if value is None else str(value) for value in values))
    table.caption = "in parentheses: 95 % intervals; below: settings that differ"
    return table


_COMPARED: tuple[tuple[str, Callable[[ComparedJob], str]], ...] = (
    ("status", lambda job: job.status),
    ("verdict", lambda job: job.verdict or ""),
    ("goal", lambda job: job.goal or ""),
    ("model", lambda job: job.model or ""),
    ("data set", lambda job: job.dataset or ""),
    (
        "quality",
        lambda job: f"{_value(job.value)}{'' if job.interval is None else _span(job.interval)}",
    ),
    ("quality of the dense network", lambda job: _value(job.dense_value)),
    ("speed", lambda job: "" if job.speedup is None else f"{job.speedup:.2f}x"),
    ("MACs", lambda job: _share(job.macs_share)),
    ("parameters", lambda job: _share(job.params_share)),
    ("ran for", lambda job: f"{job.seconds_run:.0f} s"),
)


def sweep_table(sweep: SweepData) -> Table:
    """Return the points of a sweep with their results. Pareto-optimal points are marked."""
    metric = next((row.metric for row in sweep.table if row.metric), None) or "metric"
    columns = ("MACs", "parameters", "latency", "repaired", metric, "dense")
    table = Table("point", "status", *_right(*columns), _id_column("model"), title_justify="left")
    for row in sweep.table:
        latency = f"{_share(row.latency_share)}{_share_span(row.latency_interval)}"
        shares = (_share(row.macs_share), _share(row.params_share), latency)
        marks = "*" * row.is_pareto_macs + "†" * row.is_pareto_latency
        value = f"{_value(row.value)}{marks}{'' if row.interval is None else _span(row.interval)}"
        value += " untrained" * (row.is_trained is False)
        made = row.model or row.error or ""
        point = ", ".join(f"{pointer}={value}" for pointer, value in row.point.items())
        values = _value(row.repaired_value), value, _value(row.dense_value)
        table.add_row(point, row.status, *shares, *values, made)
    table.caption = (
        "* Pareto-optimal for MACs; † Pareto-optimal for latency; in parentheses 95 % intervals: "
        "points whose intervals overlap may differ by chance"
    )
    return table


def print_failures(sweep: SweepData) -> None:
    """Print how to see why points failed, once for each failure code, on standard error."""
    failed = {row.error: row.job for row in reversed(sweep.table) if row.error is not None}
    for code, job in failed.items():
        say(f"{code}: secateur watch {job} says why", colour="yellow")


def plan_table(plan: Plan) -> Table:
    """Return the sizes before and after a plan as a table."""
    table = Table("", *_right("dense", "pruned", "left"))
    for name, title in (("macs", "MACs"), ("num_parameters", "parameters")):
        dense, pruned = plan.dense[name], plan.pruned[name]
        table.add_row(title, f"{dense:,}", f"{pruned:,}", _share(plan.left[name]))
    if plan.target is not None:
        target = plan.target
        title = f"latency on {target.name}, predicted"
        seconds = (target.dense_seconds, target.predicted_seconds)
        times = (f"{each * 1e3:.2f} ms" for each in seconds)
        table.add_row(title, *times, _share(target.predicted))
    if plan.repair == "fold":
        table.caption = "the job folds removed filters into similar ones, without samples"
    if plan.quality is not None:
        quality = plan.quality
        values = (_value(quality.dense), _value(quality.repaired))
        table.add_row(f"{quality.metric}, repaired", *values, "")
        table.caption = (
            f"{quality.metric} on {quality.num_samples:,} validation samples, repaired and not "
            "trained"
        )
    return table


def result_table(result: JobResult) -> Table:
    """Return a job's networks as a table: dense, pruned, repaired if it was, and retrained."""
    summary = result.summary
    named = {
        "dense": summary.dense,
        "pruned": summary.pruned,
        "repaired": summary.repaired,
        "retrained": summary.retrained,
    }
    networks = [network for network in named.values() if network is not None]
    table = Table("", *_right(*(name for name, network in named.items() if network is not None)))
    if summary.metric is not None:
        values = (_measured(network, summary.metric) for network in networks)
        table.add_row(_metric_title(summary.retrained, summary.metric), *values)
        changes = [_change(network) for network in networks]
        if any(changes):
            table.add_row("difference from dense", *changes)
    table.add_row("parameters", *(f"{network.num_parameters:,}" for network in networks))
    table.add_row("MACs", *(f"{network.macs:,}" for network in networks))
    table.add_row("ONNX bytes", *(f"{network.file_bytes:,}" for network in networks))
    for index, latency in enumerate(summary.dense.latency_seconds):
        times = (_times(network.latency_seconds[index]) for network in networks)
        table.add_row(f"latency p50, batch {latency.batch_size} (p95)", *times)
    blanks = ("",) * (len(networks) - 1)
    for speedup in summary.speedups:
        table.add_row(f"speed, batch {speedup.batch_size}", *blanks, speedup.text)
    task = f"task: {summary.task.replace('_', ' ')}; " if summary.task else ""
    table.caption = f"{task}in parentheses: 95 % intervals"
    return table


def print_verdict(result: JobResult) -> None:
    """Print the verdict, what to try next, and what else was written, on standard error.

    Export targets that were left out are findings.
    """
    summary = result.summary
    if (verdict := summary.verdict) is not None:
        say(verdict.text, colour=_VERDICTS.get(verdict.status))
        for step in verdict.next_steps:
            values = (f"{pointer}={json.dumps(value)}" for pointer, value in step.config.items())
            options = " ".join(f"--set {shlex.quote(value)}" for value in values)
            say(f"  {step.title}: {options}  ({step.reason})")
    if summary.int8 is not None:
        say(summary.int8.reason)
    if written := [each.title for each in summary.export_targets if each.refusal is None]:
        say(f"Also written: {', '.join(written)}.")


def print_findings(job: JobData) -> None:
    """Print serious findings about a job's result in red on standard error."""
    out = console(is_result=False)
    for finding in job.findings:
        if finding.severity == SERIOUS:
            out.print(warning_word(finding.severity), finding.message)


def warning_word(severity: object) -> Text:
    """Return the prefix of a warning: red if the finding is serious."""
    return Text("warning:", "bold red") if severity == SERIOUS else Text("note:", "yellow")


def _measured(network: Network, metric: str) -> str:
    found = network.final_metrics()
    interval = "" if found is None or found.interval is None else _span(found.interval)
    return f"{_value(network.value(metric))}{interval}"


def _change(network: Network) -> str:
    change = None if (found := network.final_metrics()) is None else found.change
    if change is None:
        return ""
    if not change.is_measurable:
        return "no measurable difference"
    return f"{change.difference:+.4f} ({change.low:+.4f} to {change.high:+.4f})"


def _span(interval: tuple[float, float]) -> str:
    return f" ({interval[0]:.4f} to {interval[1]:.4f})"


def _share_span(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" ({interval[0]:.1%} to {interval[1]:.1%})"


def _times(latency: Latency) -> str:
    return f"{latency.p50 * 1e3:.2f} ms ({latency.p95 * 1e3:.2f})"


def _metric_title(network: Network, metric: str) -> str:
    splits = {found.split for found in network.metrics}
    return f"{metric} ({'test' if 'test' in splits else 'validation'})"


def _plain(value: Any) -> Any:  # noqa: ANN401  # JSON
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _id_column(title: str) -> Column:
    # An id is copied from here: narrow terminals fold the other columns.
    return Column(title, min_width=30, no_wrap=True)


def _right(*titles: str) -> list[Column]:
    return [Column(title, justify="right") for title in titles]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    unit = 0
    while abs(value) >= _THOUSAND and unit < len(_UNITS) - 1:
        value, unit = value / _THOUSAND, unit + 1
    return f"{value:.3g}{_UNITS[unit]}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _value(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _age(created_at: datetime | None) -> str:
    if created_at is None:
        return ""
    seconds = max(0.0, (datetime.now(UTC) - created_at).total_seconds())
    for size, letter in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {letter} ago"
    return "now"


def _short(selection: Any) -> str:  # noqa: ANN401  # a part of a config
    if not isinstance(selection, dict):
        return ""
    names = ("macs", "params", "latency", "ratio", "max_drop", "steepness")
    found = [f"{name} {selection[name]:g}" for name in names if selection.get(name) is not None]
    return ", ".join(found) or str(selection.get("mode", ""))

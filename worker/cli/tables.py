"""Print verdicts and reports as tables."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from app.contracts.report import SpeedupReport

Json = Mapping[str, Any]

_VERDICTS = {"ready": "bold green", "uncertain": "bold yellow", "not_ready": "bold red"}


def print_inspection(console: Console, found: Json) -> None:
    """Print a verdict: layers, channel groups, frozen filters, the smallest size, and advice."""
    macs = found["macs"]
    rows: list[Sequence[str]] = [
        (
            layer["weight"] or "-",
            layer["op"],
            "x".join(map(str, layer["shape"])) if layer["shape"] else "-",
            f"{layer['macs']:,}",
            f"{layer['macs'] / max(1, macs):.1%}",
            _short(layer["source"]),
        )
        for layer in found["layers"]
    ]
    _print(console, "Layers", "weight,operator,shape,>MACs,>share,source line", rows)
    rows = [
        (
            group["name"],
            str(group["num_groups"]),
            str(len(group["members"])),
            "exact" if group["is_exact"] else f"inexact: {', '.join(group['inexact_ops'])}",
            _list(group["members"]),
        )
        for group in found["groups"]
    ]
    _print(console, "Channel groups", "group,>channels,>tensors,removal,removed together", rows)
    rows = [
        (
            f"{frozen['tensor']}[{frozen['dim']}]",
            str(frozen["num_channels"]),
            frozen["reason"],
            f"{frozen['op']} {frozen['node']}".strip(),
            _short(frozen["source"]),
        )
        for frozen in found["frozen"]
    ]
    _print(console, "Frozen", "filters,>channels,reason,operator and node,source line", rows)
    least = found["least"]
    total = found["num_prunable_filters"] + found["num_frozen_filters"]
    rows = [
        ("filters", f"{total:,}", f"{found['num_frozen_filters']:,}"),
        ("parameters", f"{found['num_parameters']:,}", f"{least['num_parameters']:,}"),
        ("MACs", f"{macs:,}", f"{least['macs']:,}"),
    ]
    _print(console, "Reachable", ",>dense,>with one channel left in every group", rows)
    for note in found["notes"]:
        console.print(Text("note", "yellow"), note)
    console.print(found["advice"])


def print_report(console: Console, report: Json, folder: Path) -> None:
    """Print the before-and-after table of a job."""
    dense, after = report["dense"], report["retrained"]
    rows: list[Sequence[str]] = [
        _costs("parameters", dense, after, "num_parameters"),
        _costs("MACs", dense, after, "macs"),
    ]
    for a, b in zip(dense["latency_seconds"], after["latency_seconds"], strict=True):
        name = f"latency p50 / p95, batch {a['batch_size']}, {a['num_threads']} thread(s), ms"
        times = (f"{1e3 * x['p50']:.3f} / {1e3 * x['p95']:.3f}" for x in (a, b))
        rows.append((name, *times, _speedup(report, a["batch_size"])))
    metric = report["metric"]
    for a, b in zip(dense["metrics"], after["metrics"], strict=False):
        values = (f"{x[metric]:.4f}{_interval(x['interval'])}" for x in (a, b))
        rows.append((f"{metric}, {a['num_samples']} {a['split']} samples", *values, _change(b)))
    rows += _repaired(report)
    _print(console, "Result, with 95 % intervals", ",>dense,>pruned,>ratio or difference", rows)
    _print_search(console, report)
    proof = report["equivalence"]
    kind = "exact" if proof["is_exact"] else f"inexact ({', '.join(proof['inexact_ops'])})"
    error = proof["float64_max_relative_error"]
    console.print(f"equivalence: {kind}, {error:.1e} relative in float64")
    for part in proof["inexact"]:
        console.print(f"  {part['op']}: {part['float64_max_relative_error']:.1e} relative")
    for name, rho in sorted(report["criteria_agreement"].items(), key=lambda item: -item[1]):
        console.print(f"Spearman's rho of {name} with the exact loss: {rho:+.3f}")
    if report["kept"] is not None:
        console.print(f"kept: {report['kept']['reason']}")
    _print_remarks(console, report)
    if (verdict := report.get("verdict")) is not None:
        console.print(Text(verdict["text"], _VERDICTS.get(verdict["status"], "")))
        for step in verdict["next_steps"]:
            console.print(
                f"  {step['title']}: {json.dumps(step['config'])} ({step['reason']})", markup=False
            )
    console.print(f"results in {folder}")


def _print_remarks(console: Console, report: Json) -> None:
    if (int8 := report.get("int8")) is not None:
        console.print(int8["reason"], markup=False)
    for finding in report["findings"]:
        colour = "bold red" if finding["severity"] == "serious" else "yellow"
        console.print(Text("warning", colour), finding["message"])
    for note in report["notes"]:
        console.print(Text("note", "yellow"), note)


def _repaired(report: Json) -> list[Sequence[str]]:
    """Return rows with the metric after repair and before training, if there was a repair."""
    repaired, metric = report["repaired"], report["metric"]
    if repaired is None or metric is None:
        return []
    return [
        (
            f"{metric} after repair, before training, {found['split']}",
            "",
            f"{found[metric]:.4f}{_interval(found['interval'])}",
            _change(found),
        )
        for found in repaired["metrics"]
    ]


def _speedup(report: Json, batch_size: int) -> str:
    found = [each for each in report["speedups"] if each["batch_size"] == batch_size]
    return SpeedupReport.model_validate(found[0]).text if found else "-"


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" ({interval[0]:.4f} to {interval[1]:.4f})"


def _change(metrics: Json) -> str:
    change = metrics["change"]
    if change is None:
        return ""
    text = f"{change['difference']:+.4f} ({change['low']:+.4f} to {change['high']:+.4f})"
    return text if change["is_measurable"] else f"{text}: no measurable difference"


def _print_search(console: Console, report: Json) -> None:
    """Print criterion trials, accuracy trials, baselines and the range test, if any."""
    rows = [
        (trial["criterion"], _number(trial["validation_loss"]), f"{trial['macs']:.3f}")
        for trial in report["criterion_trials"]
    ]
    if rows:
        title = f"Criteria, pruned and repaired: {report['criterion']} is used"
        _print(console, title, "criterion,>validation loss,>MACs left", rows)
    tried = [
        (
            f"{t['asked']:.3f}",
            f"{t['macs']:.3f}",
            "diverged" if t["drop"] is None else f"{t['drop']:+.4f}{_interval(t['drop_interval'])}",
            "yes" if t["is_trained"] else "no",
            "yes" if t["is_kept"] else "no",
        )
        for t in report["accuracy_trials"]
    ]
    if tried:
        _print(console, "Search", ">asked,>MACs left,>drop,trained,within max_drop", tried)
    for baseline in report["baselines"]:
        for found in baseline["metrics"]:
            value = _number(found[report["metric"]]) + _interval(found["interval"])
            console.print(f"baseline {baseline['kind']}: {value}, {found['split']}")
    if report["range_test"] is not None:
        console.print(f"learning rate found: {report['range_test']['learning_rate']:g}")


def print_applied(console: Console, found: Json, folder: Path) -> None:
    """Print the cost of a network after a plan, against the dense one."""
    dense, pruned = found["dense"], found["pruned"]
    rows = [
        _costs("parameters", dense, pruned, "num_parameters"),
        _costs("MACs", dense, pruned, "macs"),
    ]
    _print(console, "Applied", ",>dense,>pruned,>ratio", rows)
    error = found["exact_groups_float64_max_relative_error"]
    if error is not None:
        console.print(f"equivalence of the exact groups: {error:.1e} relative in float64")
    for part in found["inexact"]:
        console.print(f"  {part['op']}: {part['float64_max_relative_error']:.1e} relative")
    if (repair := found["repair"]) is not None:
        console.print(_repair_text(repair))
        console.print(f"  its twin: {repair['float64_max_relative_error']:.1e} relative in float64")
    console.print(f"results in {folder}")


def _repair_text(repair: Json) -> str:
    if repair["kind"] == "fold":
        return f"folded: {repair['num_merged']:,} channel groups merged into similar ones"
    num_weights, num_samples = repair["num_weights"], repair["num_samples"]
    return f"repaired: {num_weights} weights refitted from {num_samples:,} samples"


def _costs(title: str, dense: Json, pruned: Json, name: str) -> tuple[str, str, str, str]:
    return title, f"{dense[name]:,}", f"{pruned[name]:,}", _ratio(dense[name], pruned[name])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _ratio(before: float, after: float) -> str:
    return f"{after / before:.3f}" if before else "-"


def _print(console: Console, title: str, columns: str, rows: Sequence[Sequence[str]]) -> None:
    """Print a table; a column whose name begins with ``>`` is right-aligned."""
    table = Table(title=title, title_justify="left")
    for column in columns.split(","):
        is_number = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if is_number else "left")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _short(source: str) -> str:
    """Keep the end of a path: file and line."""
    return source.rpartition("/")[2]


def _list(names: Sequence[str], limit: int = 4) -> str:
    more = f" … {len(names)} in all" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more

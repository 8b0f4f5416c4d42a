"""Verdicts and reports as tables for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Json = Mapping[str, Any]


def print_inspection(console: Console, found: Json) -> None:
    """Print a verdict: layers, channel groups, frozen filters, what is reachable."""
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
    _print(console, "Channel groups", "group,>channels,>tensors,removal,what goes together", rows)
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
    _print(console, "Frozen", "filters,>channels,why,operator and node,source line", rows)
    least = found["least"]
    total = found["num_prunable_filters"] + found["num_frozen_filters"]
    rows = [
        ("filters", f"{total:,}", f"{found['num_frozen_filters']:,}"),
        ("parameters", f"{found['num_parameters']:,}", f"{least['num_parameters']:,}"),
        ("MACs", f"{macs:,}", f"{least['macs']:,}"),
    ]
    _print(console, "Reachable", ",>dense,>with one channel left in every group", rows)


def print_report(console: Console, report: Json, folder: Path) -> None:
    """Print the before-and-after table of a job."""
    dense, after = report["dense"], report["retrained"]
    rows = [
        _costs("parameters", dense, after, "num_parameters"),
        _costs("MACs", dense, after, "macs"),
    ]
    for a, b in zip(dense["latency_seconds"], after["latency_seconds"], strict=True):
        name = f"latency p50, batch {a['batch_size']}, {a['num_threads']} thread(s), ms"
        rows.append(
            (name, f"{1e3 * a['p50']:.3f}", f"{1e3 * b['p50']:.3f}", _ratio(a["p50"], b["p50"]))
        )
    metric = report["metric"]
    for a, b in zip(dense["metrics"], after["metrics"], strict=False):
        rows.append((f"{metric}, {a['split']}", f"{a[metric]:.4f}", f"{b[metric]:.4f}", ""))
    _print(console, "Result", ",>dense,>pruned,>ratio", rows)
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
        console.print(f"kept: {escape(report['kept']['reason'])}")
    for finding in report["findings"]:
        colour = "bold red" if finding["severity"] == "serious" else "yellow"
        console.print(f"[{colour}]warning[/{colour}] {escape(finding['message'])}")
    for note in report["notes"]:
        console.print(f"[yellow]note[/yellow] {note}")
    console.print(f"results in {folder}")


def _print_search(console: Console, report: Json) -> None:
    """Print what was tried on the way, where something was."""
    rows = [
        (trial["criterion"], _number(trial["validation_loss"]), f"{trial['macs']:.3f}")
        for trial in report["criterion_trials"]
    ]
    if rows:
        title = f"Criteria, pruned and recalibrated: {report['criterion']} is used"
        _print(console, title, "criterion,>validation loss,>MACs left", rows)
    tried = [
        (
            f"{t['asked']:.3f}",
            f"{t['macs']:.3f}",
            "diverged" if t["drop"] is None else f"{t['drop']:+.4f}",
            str(t["is_kept"]).lower(),
        )
        for t in report["accuracy_trials"]
    ]
    if tried:
        _print(console, "Search", ">asked,>MACs left,>drop,kept", tried)
    for baseline in report["baselines"]:
        for found in baseline["metrics"]:
            value = _number(found[report["metric"]])
            console.print(f"baseline {baseline['kind']}: {value} ({found['split']})")
    if report["range_test"] is not None:
        console.print(f"learning rate found: {report['range_test']['learning_rate']:g}")


def print_applied(console: Console, found: Json, folder: Path) -> None:
    """Print what a plan left."""
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
    console.print(f"results in {folder}")


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

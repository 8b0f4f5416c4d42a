"""Shared parts of the example scripts: follow a job on the terminal and print its result."""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from secateur import Client, Job
from secateur.types import JobData, Network

console = Console()


def follow(job: Job) -> Job:
    """Wait for the job, showing its progress, and return it.

    Raises:
        JobNotSucceededError: It did not succeed.
    """
    with console.status("queued") as line:

        def show_progress(now: JobData) -> None:
            progress = now.progress
            share = f"{progress.fraction:.0%}, {progress.message}" if progress else ""
            line.update(f"{now.stage or now.status} {share}")

        return job.wait(on_progress=show_progress)


def show(job: Job, title: str) -> None:
    """Print a succeeded job's costs and metrics for the dense, pruned and retrained network."""
    assert job.result is not None  # noqa: S101  # the job succeeded
    summary = job.result.summary
    networks = [summary.dense, summary.pruned, summary.retrained]
    table = Table(title=title, title_justify="left")
    for column in ("", "dense", "pruned", "retrained"):
        table.add_column(column, justify="right" if column else "left")
    table.add_row("MACs", *(f"{n.macs:,}" for n in networks))
    table.add_row("parameters", *(f"{n.num_parameters:,}" for n in networks))
    table.add_row("ONNX bytes", *(f"{n.file_bytes:,}" for n in networks))
    for index, latency in enumerate(summary.dense.latency_seconds):
        times = (n.latency_seconds[index] for n in networks)
        cells = (f"{1e3 * found.p50:.2f} / {1e3 * found.p95:.2f} ms" for found in times)
        table.add_row(f"latency p50 / p95, batch {latency.batch_size}", *cells)
    for speedup in summary.speedups:
        table.add_row(f"speed, batch {speedup.batch_size}", "", "", speedup.text)
    for metric in dict.fromkeys((summary.metric, "output_error")):
        if metric is not None:
            table.add_row(metric, *(_value(n, metric) for n in networks))
    console.print(table)
    proof = summary.equivalence
    error = proof.float64_max_relative_error
    console.print(f"compacted network against masked twin: relative error {error:.1e} in float64")
    for note in summary.notes:
        console.print(f"note: {note}")


def download(client: Client, job: Job, folder: Path) -> None:
    """Download all files of the job and print the report's path."""
    client.download(job.id, folder, overwrite=True)
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True)


def _value(network: Network, metric: str) -> str:
    value = network.value(metric)
    return "-" if value is None else f"{value:.4f}"

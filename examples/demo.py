"""``make demo``: the whole path on this machine, with the real service.

Serves, uploads ResNet-20 and Fashion-MNIST, prunes to half the MACs, retrains, asks the pruned
network about every test image over HTTP, and prints what changed. Ends with 1 if anything fails.
"""

import argparse
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.data import TEST, Images, load_images
from examples.export_model import export_resnet20
from examples.packages import DataUnavailableError
from secateur import Client, Dataset, Job, Model, SecateurError
from secateur.types import JobData, Latency, Network, Summary

CONFIG = {
    "criterion": {"kind": "l1"},
    "selection": {"mode": "budget", "macs": 0.5, "round_to": 16},
    "retrain": {"epochs": 3, "augment": {"crop": 2, "flip": True}},
}
START_SECONDS = 90
INTAKE_SECONDS = 120
JOB_SECONDS = 1800
BATCH_SIZE = 100
FILES = (
    "report.html", "report.json", "saliency_curves.svg", "plan.json", "manifest.json", "model.onnx",
)  # fmt: skip
MARK = ".secateur-demo"  # what may be removed has it

console = Console()


class DemoError(Exception):
    """A step did not do what it should."""


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the service is stopped on the way out
    started = time.monotonic()
    output: Path = options.output.absolute()
    try:
        _make_room(output)
        images = load_images()
        console.print(f"Data: [bold]{images.name}[/bold], {len(images.y):,} images")
        export_resnet20(images.name, output / "model.pt2")
        images.write_npz(output / "data.npz")
        with _serving(output) as (url, key), Client(url, key) as client:
            model = client.push(output / "model.pt2", name="resnet20", timeout=INTAKE_SECONDS)
            console.print(f"Uploaded model.pt2: {model.id}")
            data = client.push_dataset(
                output / "data.npz", preprocess=images.preprocess(), timeout=INTAKE_SECONDS
            )
            console.print(f"Uploaded data.npz: {data.id}")
            job = _prune(client, model, data)
            job.download(output, FILES)
            accuracy = _infer_all(job, images)
        if job.result is not None:
            _show(job.result.summary, images, accuracy)
    except (DemoError, DataUnavailableError, SecateurError) as error:
        console.print(f"[red]The demo failed:[/red] {error}")
        return 1
    seconds = time.monotonic() - started
    console.print(f"Report, picture and model: {output}  ({seconds:.0f} s in all)", soft_wrap=True)
    return 0


def _make_room(output: Path) -> None:
    """Make the folder anew; what no demo has made is left alone."""
    if output.exists() and any(output.iterdir()) and not (output / MARK).exists():
        raise DemoError(f"{output} is not empty, and not of an earlier demo: choose another")
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    (output / MARK).touch()


@contextmanager
def _serving(output: Path) -> Iterator[tuple[str, str]]:
    """Run ``secateur serve`` on a free port and yield its URL and key."""
    log = output / "serve.log"
    command = [str(Path(sys.executable).with_name("secateur")), "serve", "--port", "0"]
    command += ["--data-dir", str(output / "data")]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        end = time.monotonic() + START_SECONDS
        while (found := re.search(r"ready at (\S+)\s+API key: (\S+)", log.read_text())) is None:
            if process.poll() is not None or time.monotonic() > end:
                raise DemoError(f"the service did not start:\n{log.read_text()}")
            time.sleep(0.2)
        console.print(f"Service: {found[1]}")
        yield found[1], found[2]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _prune(client: Client, model: Model, data: Dataset) -> Job:
    """Post the job and follow it to its end."""
    columns = (TextColumn("{task.description:<9}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("queued", total=1.0, note="")

        def show(job: JobData) -> None:
            done, note = (
                (job.progress.fraction, job.progress.message) if job.progress else (0.0, "")
            )
            bar.update(task, completed=done, description=job.stage or job.status, note=note)

        return client.prune(model, data, CONFIG).wait(JOB_SECONDS, on_progress=show)


def _infer_all(job: Job, images: Images) -> float:
    """Ask the pruned network about every test image over HTTP; return its accuracy."""
    pixels, labels = images.part(TEST)
    hits = 0
    with Progress(console=console) as bar:
        for start in bar.track(range(0, len(labels), BATCH_SIZE), description="/infer"):
            outputs = job.infer(images.normalise(pixels[start : start + BATCH_SIZE]))
            hits += int(np.sum(outputs.argmax(1) == labels[start : start + BATCH_SIZE]))
    return hits / len(labels)


def _show(summary: Summary, images: Images, accuracy: float) -> None:
    """Print the table, and check what the demo promises."""
    networks = (summary.dense, summary.pruned, summary.retrained)
    table = Table(title=f"ResNet-20 on {images.name}", title_justify="left")
    for column in ("", "dense", "pruned", "retrained"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("accuracy (test)", *(f"{_accuracy(n):.2%}" for n in networks))
    table.add_row("parameters", *(f"{n.num_parameters:,}" for n in networks))
    table.add_row("MACs", *(f"{n.macs:,}" for n in networks))
    table.add_row("ONNX bytes", *(f"{n.file_bytes:,}" for n in networks))
    for index, latency in enumerate(summary.dense.latency_seconds):
        size, threads = latency.batch_size, latency.num_threads
        label = f"latency p50/p95, batch {size}, {threads} thread"
        table.add_row(label, *(_milliseconds(n.latency_seconds[index]) for n in networks))
    console.print(table)
    equivalence = summary.equivalence
    console.print(
        f"compacted ≡ masked twin: {equivalence.float64_max_relative_error:.1e} relative in "
        f"float64, {equivalence.float32_max_relative_error:.1e} in float32; "
        f"ONNX error {summary.onnx_max_absolute_error:.1e}"
    )
    reported = _accuracy(summary.retrained, "onnxruntime")
    num_images = len(images.part(TEST)[1])
    console.print(f"accuracy over HTTP, {num_images:,} images: {accuracy:.2%}")
    if accuracy != reported:
        raise DemoError(f"accuracy over HTTP is {accuracy}, the report says {reported}")


def _accuracy(network: Network, runtime: str = "torch") -> float:
    found = network.value("top1", runtime)
    if found is None:
        raise DemoError(f"the report has no accuracy by {runtime}")
    return found


def _milliseconds(latency: Latency) -> str:
    return f"{latency.p50 * 1e3:.2f} / {latency.p95 * 1e3:.2f} ms"


if __name__ == "__main__":
    sys.exit(main())

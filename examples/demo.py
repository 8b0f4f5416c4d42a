"""``make demo``: prune a trained network end to end on this machine.

Starts a service, uploads ResNet-20 and Fashion-MNIST, prunes to half the MACs, retrains, runs the
pruned network on test images over HTTP, and prints a comparison. The number of images and epochs
depends on the measured speed of this machine. There is no time limit while the job makes progress.
Run the same command again to resume an interrupted demo. Exits with 1 on any failure.
"""

import argparse
import json
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from examples.data import TEST, Images, load_images
from examples.export_model import export_resnet20
from examples.pace import Size, choose_size, measure_pace
from examples.packages import DataUnavailableError
from secateur import Client, Job, SecateurError, WaitTimeoutError
from secateur.types import JobData, Latency, Network, Summary

START_SECONDS = 600
INTAKE_SECONDS = 1200  # the service's own limit is shorter and gives the reason
STALL_SECONDS = 900  # without progress, the only limit
LINE_SECONDS = 15
_MINUTES_FROM = 90
BATCH_SIZE = 100
FILES = (
    "report.html", "report.json", "saliency_curves.svg", "plan.json", "manifest.json", "model.onnx",
)  # fmt: skip
MARK = ".secateur-demo"  # marks a folder that the demo may delete
STATE = "demo.json"  # the unfinished job, which the next run resumes

console = Console()


class DemoError(Exception):
    """A step of the demo failed."""


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)  # stops the service during cleanup
    output: Path = options.output.absolute()
    started = time.monotonic()
    try:
        _run(output)
    except KeyboardInterrupt:
        console.print("Stopped.")
        _print_how_to_resume(output)
        return 130
    except (DemoError, DataUnavailableError, SecateurError, OSError) as error:
        console.print(f"[red]The demo failed:[/red] {error}", soft_wrap=True)
        _print_how_to_resume(output)
        return 1
    seconds = time.monotonic() - started
    console.print(f"Report, curves and model: {output}  ({seconds:.0f} s in total)", soft_wrap=True)
    return 0


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _run(output: Path) -> None:
    resumed = _read_state(output)
    if resumed is None:
        _prepare_folder(output)
    say("Fetching the images")
    images = load_images()
    if resumed is None:
        say("Measuring how fast this machine trains")
        pace = measure_pace()
        size = choose_size(pace, images)
        say(f"{pace:,.0f} images per second: {size}")
        images = images.first(size.num_train, size.num_test)
        say("Exporting ResNet-20 to model.pt2 and the images to data.npz")
        export_resnet20(images.name, output / "model.pt2")
        images.write_npz(output / "data.npz")
    else:
        size = resumed[1]
        say(f"Resuming the unfinished job in this folder: {size}")
        images = images.first(size.num_train, size.num_test)
    with _serving(output) as (url, key), Client(url, key) as client:
        if resumed is None:
            job = _post(client, images, size, output)
            _write_state(output, job, size)
        else:
            job = client.get_job(resumed[0])
        job = _follow(job, size)
        say("Fetching the report and the model")
        job.download(output, FILES, overwrite=True)
        accuracy = _infer_all(job, images)
    (output / STATE).unlink(missing_ok=True)
    if job.result is not None:
        _show(job.result.summary, images, accuracy)


def say(text: str) -> None:
    """Print a line with the time."""
    console.print(f"[dim]{time.strftime('%H:%M:%S')}[/dim]  {text}", soft_wrap=True)


def _read_state(output: Path) -> tuple[str, Size] | None:
    """Return the job id and size of an unfinished demo in this folder, or None."""
    try:
        state = json.loads((output / STATE).read_text())
        return str(state["job"]), Size(**state["size"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_state(output: Path, job: Job, size: Size) -> None:
    (output / STATE).write_text(json.dumps({"job": job.id, "size": asdict(size)}))


def _prepare_folder(output: Path) -> None:
    """Create an empty folder, replacing an earlier demo's.

    Raises:
        DemoError: The folder holds other files.
    """
    if output.exists() and any(output.iterdir()) and not (output / MARK).exists():
        raise DemoError(
            f"{output} is not empty and not from an earlier demo: choose another folder"
        )
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    (output / MARK).touch()


def _print_how_to_resume(output: Path) -> None:
    """Print what remains in the folder and how to resume."""
    if not (output / MARK).exists():
        return
    console.print(f"Its files remain in {output}; the logs are in data/logs.", soft_wrap=True)
    what = "resume" if (output / STATE).exists() else "try again"
    secateur = Path(sys.executable).with_name("secateur")  # may not be on PATH
    console.print(f"To {what}: {secateur} demo --output {output}", soft_wrap=True)
    data = f"{secateur} serve --data-dir {output / 'data'}"
    console.print(f"To open its service instead: {data}", soft_wrap=True)


@contextmanager
def _serving(output: Path) -> Iterator[tuple[str, str]]:
    """Run ``secateur serve`` on a free port and yield its URL and key.

    Raises:
        DemoError: It exits or is not ready within `START_SECONDS`.
    """
    say("Starting the service")
    log = output / "serve.log"
    command = [str(Path(sys.executable).with_name("secateur")), "serve", "--port", "0"]
    command += ["--data-dir", str(output / "data")]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)  # noqa: S603
    try:
        end = time.monotonic() + START_SECONDS
        while (found := re.search(r"ready at (\S+)\s+API key: (\S+)", log.read_text())) is None:
            if process.poll() is not None or time.monotonic() > end:
                raise DemoError(f"the service did not start:\n{log.read_text().strip()}")
            time.sleep(0.2)
        say(f"The service is ready at {found[1]}")
        yield found[1], found[2]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _post(client: Client, images: Images, size: Size, output: Path) -> Job:
    """Upload the network and the images and start a job that keeps half the MACs."""
    say("Uploading the network and waiting for its validation")
    model = client.push(output / "model.pt2", name="resnet20", timeout=INTAKE_SECONDS)
    say("Uploading the images")
    data = client.push_dataset(
        output / "data.npz", preprocess=images.preprocess(), timeout=INTAKE_SECONDS
    )
    config = {
        "criterion": {"kind": "l1"},
        "selection": {"mode": "budget", "macs": 0.5, "round_to": 16},
        "retrain": {"epochs": size.epochs, "augment": {"crop": 2, "flip": True}},
    }
    return client.prune(model, data, config)


def _follow(job: Job, size: Size) -> Job:
    """Wait for the job, printing a line per epoch or every `LINE_SECONDS`.

    Raises:
        DemoError: There is no progress for `STALL_SECONDS`.
    """
    say(f"Job {job.id}")
    lines = _ProgressLines(size.epochs)
    while True:
        try:
            return job.wait(STALL_SECONDS / 10, on_progress=lines.show)
        except WaitTimeoutError:
            if time.monotonic() - lines.changed_at > STALL_SECONDS:
                message = f"no progress for {STALL_SECONDS / 60:.0f} minutes"
                raise DemoError(message) from None


class _ProgressLines:
    """Line-based progress output, for terminals and logs.

    Attributes:
        changed_at: Monotonic time of the last progress, in seconds.
    """

    def __init__(self, num_epochs: int) -> None:
        self.changed_at = time.monotonic()
        self._num_epochs = num_epochs
        self._seen: tuple[object, ...] = ()
        self._printed: tuple[object, ...] = ()
        self._printed_at = -math.inf

    def show(self, job: JobData) -> None:
        """Print a line on progress, at most once per epoch or `LINE_SECONDS`."""
        now = time.monotonic()
        progress = job.progress
        seen = (job.status, job.stage, progress.fraction if progress else 0.0)
        if seen == self._seen:
            return
        self._seen, self.changed_at = seen, now
        stage, epoch = job.stage or job.status, self._epoch(job)
        if (stage, epoch) == self._printed and now - self._printed_at < LINE_SECONDS:
            return
        self._printed, self._printed_at = (stage, epoch), now
        parts = [f"{stage:<8}", f"{progress.fraction:4.0%} of the job" if progress else ""]
        parts.append(f"epoch {epoch} of {self._num_epochs}" if epoch else "")
        if progress is not None:
            parts.append(progress.message if progress.message != stage else "")
            if progress.eta_seconds:
                parts.append(f"about {_duration(progress.eta_seconds)} left")
        say("  ".join(part for part in parts if part).rstrip())

    def _epoch(self, job: JobData) -> int:
        progress = job.progress
        if job.stage != "retrain" or progress is None or not progress.message.startswith("step"):
            return 0
        done = progress.step * self._num_epochs // max(1, progress.num_steps)
        return min(self._num_epochs, 1 + done)


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < _MINUTES_FROM else f"{seconds / 60:.0f} min"


def _infer_all(job: Job, images: Images) -> float:
    """Classify every test image with the pruned network over HTTP; return the accuracy."""
    pixels, labels = images.part(TEST)
    say(f"Classifying {len(labels):,} test images with the pruned network over HTTP")
    hits = 0
    for start in range(0, len(labels), BATCH_SIZE):
        outputs = job.infer(images.normalise(pixels[start : start + BATCH_SIZE]))
        hits += int(np.sum(outputs.argmax(1) == labels[start : start + BATCH_SIZE]))
    return hits / len(labels)


def _show(summary: Summary, images: Images, accuracy: float) -> None:
    """Print the results and check that the accuracy over HTTP equals the report's.

    Raises:
        DemoError: It does not.
    """
    networks = (summary.dense, summary.pruned, summary.retrained)
    num_images = len(images.part(TEST)[1])
    table = Table(title=f"ResNet-20 on {images.name}", title_justify="left")
    for column in ("", "dense", "pruned", "retrained"):
        table.add_column(column, justify="left" if not column else "right")
    label = f"accuracy, {num_images:,} test images"
    table.add_row(label, *(_share(n) for n in networks))
    table.add_row("parameters", *(f"{n.num_parameters:,}" for n in networks))
    table.add_row("MACs", *(f"{n.macs:,}" for n in networks))
    table.add_row("ONNX bytes", *(f"{n.file_bytes:,}" for n in networks))
    for index, latency in enumerate(summary.dense.latency_seconds):
        size, threads = latency.batch_size, latency.num_threads
        label = f"latency p50/p95, batch {size}, {threads} thread"
        table.add_row(label, *(_milliseconds(n.latency_seconds[index]) for n in networks))
    console.print(table)
    for found in summary.speedups:
        console.print(f"speed-up at batch {found.batch_size}: {found.text}")
    if summary.load is not None and summary.load.is_busy:
        console.print(f"latencies were measured under load: {summary.load.reason}")
    console.print("Intervals are 95 %: differences within them may be chance.")
    equivalence = summary.equivalence
    console.print(
        f"compacted network ≡ masked twin: {equivalence.float64_max_relative_error:.1e} relative "
        f"in float64, {equivalence.float32_max_relative_error:.1e} in float32; "
        f"ONNX error {summary.onnx_max_absolute_error:.1e}"
    )
    reported = _accuracy(summary.retrained, "onnxruntime")
    console.print(f"accuracy over HTTP, {num_images:,} images: {accuracy:.2%}")
    if accuracy != reported:
        raise DemoError(f"accuracy over HTTP is {accuracy}, but {reported} in the report")


def _accuracy(network: Network, runtime: str = "torch") -> float:
    found = network.value("top1", runtime)
    if found is None:
        raise DemoError(f"the report has no accuracy for {runtime}")
    return found


def _share(network: Network) -> str:
    """Return the accuracy with its 95 % interval."""
    text, found = f"{_accuracy(network):.2%}", network.final_metrics()
    if found is None or found.interval is None:
        return text
    low, high = found.interval
    return f"{text} ({100 * low:.1f} to {100 * high:.1f})"


def _milliseconds(latency: Latency) -> str:
    return f"{latency.p50 * 1e3:.2f} / {latency.p95 * 1e3:.2f} ms"


if __name__ == "__main__":
    sys.exit(main())

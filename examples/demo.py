"""``make demo``: the whole path on this machine, with the real service.

Serves, uploads ResNet-20 and Fashion-MNIST, prunes to half the MACs, retrains, asks the pruned
network about every test image over HTTP, and prints what changed. Ends with 1 if anything fails.
"""

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from examples.data import TEST, Images, load_images
from examples.export_model import export_resnet20

CONFIG = {
    "criterion": {"kind": "l1"},
    "selection": {"mode": "budget", "macs": 0.5, "round_to": 16},
    "retrain": {"epochs": 3, "augment": {"crop": 2, "flip": True}},
}
START_SECONDS = 90
INTAKE_SECONDS = 120
JOB_SECONDS = 1800
BATCH_SIZE = 100
FILES = ("report.json", "saliency_curves.svg", "plan.json", "manifest.json", "model.onnx")

console = Console()


class DemoError(Exception):
    """A step did not do what it should."""


def main() -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("demo-output"))
    options = parser.parse_args()
    started = time.monotonic()
    output: Path = options.output.absolute()
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    try:
        images = load_images()
        console.print(f"Data: [bold]{images.name}[/bold], {len(images.y):,} images")
        export_resnet20(images.name, output / "model.pt2")
        images.write_npz(output / "data.npz")
        with _serving(output) as (url, key), _client(url, key) as client:
            model = _upload(client, "models", output / "model.pt2", {"name": "resnet20"})
            preprocess = json.dumps(images.preprocess())
            dataset = _upload(client, "datasets", output / "data.npz", {"preprocess": preprocess})
            job = _prune(client, model, dataset)
            _download(client, job, output)
            accuracy = _infer_all(client, job, images)
        _show(job, images, accuracy)
    except (DemoError, httpx.HTTPError) as error:
        console.print(f"[red]The demo failed:[/red] {error}")
        return 1
    seconds = time.monotonic() - started
    console.print(f"Report, picture and model: {output}  ({seconds:.0f} s in all)", soft_wrap=True)
    return 0


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


def _client(url: str, key: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False)


def _upload(client: httpx.Client, kind: str, path: Path, query: dict[str, str]) -> str:
    """Upload a file, wait for its intake, and return its id."""
    params = {"filename": path.name, **query}
    with path.open("rb") as file:
        item = _checked(client.post(f"/v1/{kind}", params=params, content=file))
    end = time.monotonic() + INTAKE_SECONDS
    while item["status"] == "validating":
        if time.monotonic() > end:
            raise DemoError(f"the intake of {path.name} takes too long")
        time.sleep(0.3)
        item = _checked(client.get(f"/v1/{kind}/{item['id']}"))
    if item["status"] != "ready":
        raise DemoError(f"{path.name} was rejected: {item['error']}")
    console.print(f"Uploaded {path.name}: {item['id']}")
    return str(item["id"])


def _prune(client: httpx.Client, model: str, dataset: str) -> dict[str, Any]:
    """Post the job and follow it to its end."""
    body = {"model": model, "dataset": dataset, "config": CONFIG}
    job = _checked(client.post("/v1/jobs", json=body))
    end = time.monotonic() + JOB_SECONDS
    columns = (TextColumn("{task.description:<9}"), BarColumn(), TextColumn("{task.fields[note]}"))
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("queued", total=1.0, note="")
        while job["status"] not in {"succeeded", "failed", "cancelled", "expired"}:
            if time.monotonic() > end:
                raise DemoError(f"{job['id']} takes too long")
            time.sleep(0.5)
            job = _checked(client.get(f"/v1/jobs/{job['id']}"))
            progress = job["progress"] or {}
            bar.update(
                task,
                completed=progress.get("fraction", 0),
                description=job["stage"] or job["status"],
                note=progress.get("message", ""),
            )
    if job["status"] != "succeeded":
        raise DemoError(f"{job['id']} {job['status']}: {job['error']}")
    return job


def _download(client: httpx.Client, job: dict[str, Any], output: Path) -> None:
    for artifact in job["result"]["artifacts"]:
        if artifact["name"] in FILES:
            response = client.get(f"/v1/artifacts/{artifact['id']}/content")
            (output / artifact["name"]).write_bytes(response.raise_for_status().content)


def _infer_all(client: httpx.Client, job: dict[str, Any], images: Images) -> float:
    """Ask the pruned network about every test image over HTTP; return its accuracy."""
    pixels, labels = images.part(TEST)
    hits = 0
    with Progress(console=console) as bar:
        for start in bar.track(range(0, len(labels), BATCH_SIZE), description="/infer"):
            inputs = images.normalise(pixels[start : start + BATCH_SIZE]).tolist()
            body = {"model": job["result"]["model"], "inputs": inputs}
            outputs = np.array(_checked(client.post("/infer", json=body))["outputs"])
            hits += int((outputs.argmax(1) == labels[start : start + BATCH_SIZE]).sum())
    return hits / len(labels)


def _show(job: dict[str, Any], images: Images, accuracy: float) -> None:
    """Print the table, and check what the demo promises."""
    summary = job["result"]["summary"]
    networks = [summary[name] for name in ("dense", "pruned", "retrained")]
    table = Table(title=f"ResNet-20 on {images.name}", title_justify="left")
    for column in ("", "dense", "pruned", "retrained"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("accuracy (test)", *(f"{_accuracy(n):.2%}" for n in networks))
    table.add_row("parameters", *(f"{n['num_parameters']:,}" for n in networks))
    table.add_row("MACs", *(f"{n['macs']:,}" for n in networks))
    table.add_row("ONNX bytes", *(f"{n['file_bytes']:,}" for n in networks))
    for index, latency in enumerate(networks[0]["latency_seconds"]):
        size, threads = latency["batch_size"], latency["num_threads"]
        label = f"latency p50/p95, batch {size}, {threads} thread"
        table.add_row(label, *(_milliseconds(n["latency_seconds"][index]) for n in networks))
    console.print(table)
    equivalence = summary["equivalence"]
    console.print(
        f"compacted ≡ masked twin: {equivalence['float64_max_relative_error']:.1e} relative in "
        f"float64, {equivalence['float32_max_relative_error']:.1e} in float32; "
        f"ONNX error {summary['onnx_max_absolute_error']:.1e}"
    )
    reported = _accuracy(networks[2], "onnxruntime")
    num_images = len(images.part(TEST)[1])
    console.print(f"accuracy over HTTP, {num_images:,} images: {accuracy:.2%}")
    if accuracy != reported:
        raise DemoError(f"accuracy over HTTP is {accuracy}, the report says {reported}")


def _accuracy(network: dict[str, Any], runtime: str = "torch") -> float:
    found = [m for m in network["metrics"] if m["split"] == "test" and m["runtime"] == runtime]
    return float(found[0]["top1"])


def _milliseconds(latency: dict[str, Any]) -> str:
    return f"{latency['p50'] * 1e3:.2f} / {latency['p95'] * 1e3:.2f} ms"


def _checked(response: httpx.Response) -> dict[str, Any]:
    if response.is_error:
        raise DemoError(
            f"{response.request.url.path}: {response.status_code} {response.text[:500]}"
        )
    body: dict[str, Any] = response.json()
    return body


if __name__ == "__main__":
    sys.exit(main())

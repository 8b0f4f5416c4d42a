"""What one tenant feels while another is at its limits.

Usage: python -m benchmarks.neighbours [--runs 3] [--seconds 8] [--rate 30] [--only ATTACK …]
[--output FILE]. Runs `secateur serve` with its defaults, except that webhooks may go to this
machine. Tenant B sends ``/infer`` open-loop (ResNet-20, one image, ``.npy``; latencies count from
the due time), uploads a small model and waits until it is ready, and receives a webhook: alone
first and last, and beside each attack of tenant A (`benchmarks.neighbours_attacks`). The memory of
the API's and the serving process is read ten times a second. Each run starts a new service.
Attackers are processes on the same machine, so their own CPU time counts against the service.
"""

import argparse
import asyncio
import base64
import gc
import io
import json
import os
import re
import signal
import ssl
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import httpx
import numpy as np
import torch

from app.contracts.settings import Settings
from app.inference.process import memory_limit
from app.keys.service import create_key
from app.objects.storage import open_store
from app.records.database import create_database, create_sessions
from benchmarks.machine import machine
from benchmarks.neighbours_attacks import ATTACKS
from benchmarks.neighbours_models import attacker_models, slow_model, small_model
from benchmarks.serving.networks import image, make_networks
from benchmarks.serving.ours import insert_model
from benchmarks.serving.servers import CACHE

SEED = 1
ALONE = "alone"
_SECRET = "whsec_" + base64.b64encode(b"0" * 32).decode()
_WAIT_SECONDS = 240.0
_MEBIBYTE = 1024**2


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--only", nargs="+", choices=list(ATTACKS), default=list(ATTACKS))
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/neighbours.json"))
    options = parser.parse_args()
    torch.manual_seed(SEED)
    runs = []
    for _ in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            runs.append(asyncio.run(_run(Path(folder), options)))
        options.output.write_text(json.dumps(_result(runs, options), indent=1) + "\n")
    print(json.dumps(_result(runs, options)["attacks"], indent=1))


async def _run(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    _write_certificate(folder)
    async with _receiver(folder, is_silent=True) as silent, _receiver(folder) as answering:
        with _service(folder) as (url, process):
            world = await _World.prepare(folder, url, answering, silent)
            # Looking through torch's objects takes this process 0.2 s, which would count as B's.
            gc.collect()
            gc.freeze()
            found: dict[str, list[dict[str, Any]]] = {}
            order = [ALONE, *[name for name in options.only if name != "intakes"], ALONE]
            order += ["intakes"] if "intakes" in options.only else []
            for name in order:
                with _attacking(world, name) as said, _Memory(process.pid) as memory:
                    measured = await world.measure(options)
                measured |= {"rss_mebibytes": memory.highest, "load_average": os.getloadavg()[0]}
                measured["attack_answers"] = said
                print(name, json.dumps(measured), flush=True)
                found.setdefault(name, []).append(measured)
            await world.client.aclose()
            return found


class _Receivers:
    """A TLS server that notes when it was called."""

    def __init__(self, *, is_silent: bool) -> None:
        self._is_silent = is_silent
        self.called: asyncio.Queue[float] = asyncio.Queue()
        self.url = ""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            self.called.put_nowait(time.perf_counter())
            if self._is_silent:
                await asyncio.sleep(3600)
            writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


class _receiver:  # noqa: N801  # a context manager
    def __init__(self, folder: Path, *, is_silent: bool = False) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self._found = _Receivers(is_silent=is_silent)

    async def __aenter__(self) -> _Receivers:
        take = self._found.take
        self._server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=self._context)
        self._found.url = f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self._found

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


class _World:
    """Two tenants of a running service, their models, and B's measurements."""

    def __init__(self, folder: Path, url: str, answering: _Receivers, silent: _Receivers) -> None:
        self.folder, self.url, self._answering, self._silent = folder, url, answering, silent
        self.plan: dict[str, str] = {}
        self.model, self.small = "", b""
        self.client: httpx.AsyncClient

    @classmethod
    async def prepare(
        cls, folder: Path, url: str, answering: _Receivers, silent: _Receivers
    ) -> "_World":
        world = cls(folder, url, answering, silent)
        settings = Settings(data_dir=folder / "data")
        store = open_store(settings.storage_url, settings.storage)
        engine = create_database(settings.database_url)
        sessions = create_sessions(engine)
        keys = {tenant: create_key(sessions, tenant, "benchmark", ["admin"])[1] for tenant in "ab"}
        for name, model in attacker_models().items():
            path = folder / f"{name}.onnx"
            path.write_bytes(model.SerializeToString())
            insert_model(sessions, name, "1", path, store.put_file(path), tenant="a")
        dense = make_networks(CACHE)["dense"]
        insert_model(sessions, "net", "1", dense, store.put_file(dense), tenant="b")
        engine.dispose()
        world.small = small_model(CACHE / "small.pt2").read_bytes()
        headers = {"Authorization": f"Bearer {keys['b']}"}
        world.client = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=120, trust_env=False
        )
        as_a = {"Authorization": f"Bearer {keys['a']}"}
        theirs = await world._upload(as_a)  # a job pauses only once its model is ready
        job = await world.client.post("/v1/jobs", json={"model": theirs["id"]}, headers=as_a)
        paused = await world.client.post(f"/v1/jobs/{job.json()['id']}/pause", headers=as_a)
        paused.raise_for_status()
        world.plan = {
            "url": url,
            "key": keys["a"],
            "job": job.json()["id"],
            "model": theirs["id"],
            "slow_model": str(slow_model(CACHE / "slow.pt2")),
            "silent_url": silent.url,
            "secret": _SECRET,
        }
        world.model = (await world._upload())["id"]
        for name in attacker_models():  # loaded and measured once
            body = {"model": name, "inputs": [[1.0]]}
            if name != "huge":
                await world.client.post("/infer", json=body, headers=as_a)
        for _ in range(20):
            await world._infer(time.perf_counter(), [])
        return world

    async def measure(self, options: argparse.Namespace) -> dict[str, Any]:
        latencies: list[float] = []
        answers: list[bool] = []
        began = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(round(options.rate * options.seconds)):
                due = began + number / options.rate
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                group.create_task(self._infer(due, latencies, answers))
        latencies.sort()
        return {
            "infer_p50_ms": round(1000 * latencies[len(latencies) // 2], 1),
            "infer_p99_ms": round(1000 * latencies[len(latencies) * 99 // 100], 1),
            "infer_failed": sum(not is_ok for is_ok in answers),
            "delivery_seconds": round(await self._deliver(), 2),
            "intake_seconds": round((await self._upload())["seconds"], 2),
        }

    async def _infer(
        self, due: float, latencies: list[float], answers: list[bool] | None = None
    ) -> None:
        answer = await self.client.post(
            "/infer?model=net",
            content=self._npy(),
            headers={"Content-Type": "application/x-npy", "Accept": "application/x-npy"},
        )
        latencies.append(time.perf_counter() - due)
        if answers is not None:
            answers.append(answer.is_success)

    def _npy(self) -> bytes:
        file = io.BytesIO()
        np.save(file, image())
        return file.getvalue()

    async def _upload(self, headers: dict[str, str] | None = None) -> dict[str, Any]:
        began = time.perf_counter()
        made = await self.client.post("/v1/models", content=self.small, headers=headers)
        made_id = made.raise_for_status().json()["id"]
        while True:
            got = await self.client.get(f"/v1/models/{made_id}", headers=headers)
            found = got.raise_for_status().json()
            seconds = time.perf_counter() - began
            if found["status"] != "validating" or seconds > _WAIT_SECONDS:
                return {"id": made_id, "seconds": seconds, "status": found["status"]}
            await asyncio.sleep(0.05)

    async def _deliver(self) -> float:
        hook = {"url": self._answering.url, "secret": _SECRET, "events": ["job.cancelled"]}
        body = {"model": self.model, "webhook": hook}
        job = (await self.client.post("/v1/jobs", json=body)).raise_for_status().json()
        (await self.client.post(f"/v1/jobs/{job['id']}/cancel")).raise_for_status()
        # A worker that has claimed the job stops its process before there is an event.
        while job["status"] != "cancelled":
            job = (await self.client.get(f"/v1/jobs/{job['id']}?wait=10")).json()
        began = time.perf_counter()
        try:
            called_at = await asyncio.wait_for(self._answering.called.get(), _WAIT_SECONDS)
            return max(0.0, called_at - began)  # it may be called before we know of the end
        except TimeoutError:
            return _WAIT_SECONDS


class _Memory:
    """Thread that reads the memory of the API and of the serving process."""

    def __init__(self, pid: int) -> None:
        self._pids = {
            what: found
            for what, name in (("api", "secateur-api"), ("serving", "secateur-serve"))
            for found in _descendants(pid)
            if Path(f"/proc/{found}/comm").read_text().strip() == name
        }
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.highest: dict[str, float] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.1):
            for what, pid in self._pids.items():
                try:
                    status = Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue  # it was replaced
                found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
                if found:
                    mebibytes = round(int(found[1]) / 1024, 1)
                    self.highest[what] = max(self.highest.get(what, 0.0), mebibytes)


def _descendants(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from _descendants(int(child))


@contextmanager
def _attacking(world: _World, name: str) -> Iterator[dict[str, int]]:
    if name == ALONE:
        yield {}
        return
    path = world.folder / "plan.json"
    path.write_text(json.dumps(world.plan | {"attack": name}))
    argv = [sys.executable, "-m", "benchmarks.neighbours_attacks", str(path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603  # ours
        try:
            assert process.stdout is not None  # noqa: S101  # a pipe
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()
    time.sleep(3)  # what was begun ends


@contextmanager
def _service(folder: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    argv = [str(Path(sys.executable).with_name("secateur")), "serve", "--port", "0"]
    own = {
        "SECATEUR_WEBHOOKS__ARE_PRIVATE_ADDRESSES_ALLOWED": "true",
        "SECATEUR_WEBHOOKS__CA_FILE": str(folder / "cert.pem"),
    }
    log = folder / "serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603  # ours
            [*argv, "--data-dir", str(folder / "data")],
            stdout=file,
            stderr=file,
            env={**os.environ, **own},  # noqa: TID251  # handed on
        )
    try:
        end = time.monotonic() + _WAIT_SECONDS
        while not (found := re.search(r"ready at (\S+)", log.read_text())):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(log.read_text())
            time.sleep(0.2)
        yield found[1], process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def _write_certificate(folder: Path) -> None:
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    argv += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    argv += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(argv, check=True, capture_output=True)  # noqa: S603  # ours


def _result(runs: list[dict[str, Any]], options: argparse.Namespace) -> dict[str, Any]:
    settings = Settings()
    attacks = {}
    for name in (ALONE, *options.only):
        rows = [row for run in runs for row in run[name]]
        figures = (
            "infer_p50_ms",
            "infer_p99_ms",
            "infer_failed",
            "delivery_seconds",
            "intake_seconds",
        )
        median = {figure: statistics.median(row[figure] for row in rows) for figure in figures}
        median["load_average"] = statistics.median(row["load_average"] for row in rows)
        median["rss_mebibytes"] = {
            what: max(row["rss_mebibytes"][what] for row in rows) for what in ("api", "serving")
        }
        attacks[name] = median
    alone = attacks[ALONE]
    for name in options.only:
        attacks[name]["of_alone"] = {
            what: round(attacks[name][what] / alone[what], 2)
            for what in ("infer_p50_ms", "infer_p99_ms", "delivery_seconds", "intake_seconds")
        }
    return {
        "machine": machine(),
        "seed": SEED,
        "seconds": options.seconds,
        "rate": options.rate,
        "limits_mebibytes": {
            "SECATEUR_HTTP__BUFFERED_BYTES": settings.http.buffered_bytes / _MEBIBYTE,
            "SECATEUR_INFERENCE__MEMORY_BYTES": memory_limit(settings) / _MEBIBYTE,
        },
        "attacks": attacks,
        "runs": runs,
    }


if __name__ == "__main__":
    main()

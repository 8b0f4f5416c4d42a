"""Goodput and refusals at five times the service's capacity.

Usage: python -m benchmarks.overload [--times 5] [--seconds 20] [--images 16] [--clients 16]
[--connections 2048] [--runs 3] [--output FILE]. One API process with its defaults serves ResNet-20,
``--images`` per request, as ``.npy``. Capacity is the throughput of ``--clients`` in a closed loop.
Then ``--times`` that rate is offered open-loop, with requests due at fixed times; half of them have
a deadline of `DEADLINE_SECONDS`. Then capacity is measured again. All of this runs ``--runs``
times. Goodput counts responses with 200 within the time of the offer. Every other response must be
one of `REFUSALS`, with ``Retry-After``.

The load comes from a second process over at most ``--connections`` keep-alive connections. A
request without a free connection waits while its time runs. This process requests ``/healthz`` ten
times a second, each time over a new connection. Server and load run on one core each: on shared
cores, the cost of sending the flood would look like lost goodput.
"""

import argparse
import asyncio
import io
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import uvloop

from benchmarks.machine import machine
from benchmarks.serving.load import free_port, started
from benchmarks.serving.networks import image, make_networks
from benchmarks.serving.servers import CACHE, SERVERS, Call

DEADLINE_SECONDS = 1.0
REFUSALS = {"503 overloaded", "503 deadline_exceeded", "503 busy"}
WARM_UP_SECONDS = 2.0
_PROBE_SECONDS = 0.1
_CODE = re.compile(rb'"code":"(\w+)"')


def main() -> None:
    """Run the benchmark, or act as its client with ``--client``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--connections", type=int, default=2048)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--runs", type=int, default=3)
    results = Path("benchmarks/results")
    parser.add_argument("--output", type=Path, default=results / "overload_16_images.json")
    parser.add_argument("--client", type=Path, help="Act as the client described in this file.")
    options = parser.parse_args()
    if options.client is not None:
        print(json.dumps(uvloop.run(_be_client(json.loads(options.client.read_text())))))
        return
    onnx, port = make_networks(CACHE)["dense"].absolute(), free_port()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as scratch:
        running = SERVERS[0].start(onnx, Path(scratch), port)
        os.sched_setaffinity(0, cores[:1])
        with started(running, port, CACHE / "overload.log") as pid:
            os.sched_setaffinity(0, cores[-1:])
            call, folder = running.calls["npy"], Path(scratch)
            runs = [_measure(pid, port, call, folder, options) for _ in range(options.runs)]
    result = {
        "machine": machine(),
        "cores": {"server": 1, "client": 1},
        "seconds": options.seconds,
        "images": options.images,
        "goodput_of_capacity": statistics.median(run["goodput_of_capacity"] for run in runs),
        "healthz_max_ms": max(run["healthz"]["max_ms"] for run in runs),
        "runs": runs,
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    sys.exit(any(run["overload"]["wrong"] for run in runs))


def _measure(
    pid: int, port: int, call: Call, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    plan = {
        "port": port,
        "path": call.path,
        "headers": dict(call.headers),
        "body": _npy(options.images).hex(),
        "connections": options.connections,
        "seconds": options.seconds,
    }
    closed = plan | {"clients": options.clients}
    _client(folder, closed | {"seconds": WARM_UP_SECONDS})
    capacity = _client(folder, closed)["ok_a_second"]
    memory = {"before": _mebibytes(pid, "VmRSS")}
    with _Probe(port) as probe:
        overload = _client(folder, plan | {"rate": options.times * capacity})
    memory |= {"highest": _mebibytes(pid, "VmHWM"), "after": _mebibytes(pid, "VmRSS")}
    return {
        "load_average": os.getloadavg()[0],
        "capacity_a_second": capacity,
        "capacity_after": _client(folder, closed)["ok_a_second"],
        "goodput_of_capacity": round(overload["ok_a_second"] / capacity, 3),
        "overload": overload,
        "healthz": _quantiles(probe.seconds) | {"asked": probe.asked},
        "rss_mebibytes": memory,
    }


def _client(folder: Path, plan: dict[str, Any]) -> dict[str, Any]:
    path = folder / "client.json"
    path.write_text(json.dumps(plan))
    command = [sys.executable, "-m", "benchmarks.overload", "--client", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # ours
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class _Probe:
    """Thread that requests ``/healthz`` until it is closed."""

    def __init__(self, port: int) -> None:
        self._url, self._is_over = f"http://127.0.0.1:{port}/healthz", threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.seconds: list[float] = []
        self.asked = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._is_over.wait(_PROBE_SECONDS):
            self.asked += 1
            began = time.perf_counter()
            try:
                with urllib.request.urlopen(self._url, timeout=30):  # noqa: S310  # http
                    self.seconds.append(time.perf_counter() - began)
            except OSError as error:
                print(f"/healthz: {error}", file=sys.stderr)


@dataclass
class _Load:
    """Requests of one offer and their responses."""

    port: int
    messages: Sequence[bytes]  # without and with a deadline
    places: asyncio.Semaphore
    free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    ok_seconds: list[float] = field(default_factory=list)
    refused_seconds: list[float] = field(default_factory=list)
    num_connections: int = 0
    num_ok_in_time: int = 0
    end: float = 0.0

    async def ask(self, number: int, due: float) -> None:
        """Send one request. Its latency counts from its due time."""
        try:
            async with self.places:
                what = await self._answer(self.messages[number % len(self.messages)])
        except (OSError, asyncio.IncompleteReadError) as error:
            what = type(error).__name__
        now = time.perf_counter()
        self.answers[what] += 1
        if what == "200":
            self.num_ok_in_time += now <= self.end
            self.ok_seconds.append(now - due)
        else:
            self.refused_seconds.append(now - due)

    async def _answer(self, message: bytes) -> str:
        reader, writer = await self._connection()
        writer.write(message)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(length)
        if b"connection: close" in head:
            writer.close()
        else:
            self.free.append((reader, writer))
        status = head.split(b" ", 2)[1].decode()
        if status == "200":
            return status
        code = _CODE.search(body)
        what = f"{status} {code[1].decode() if code else ''}"
        return what if b"retry-after:" in head else f"{what} without Retry-After"

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self.free:
            reader, writer = self.free.pop()
            if not reader.at_eof():  # the server closes idle connections
                return reader, writer
            writer.close()
        self.num_connections += 1
        return await asyncio.open_connection("127.0.0.1", self.port)


async def _be_client(plan: dict[str, Any]) -> dict[str, Any]:
    load = _Load(plan["port"], _messages(plan), asyncio.Semaphore(plan["connections"]))
    began = time.perf_counter()
    load.end = began + plan["seconds"]
    if "rate" in plan:
        num_requests = round(plan["rate"] * plan["seconds"])
        async with asyncio.TaskGroup() as group:
            for number in range(num_requests):
                due = began + number / plan["rate"]
                if (wait := due - time.perf_counter()) > 0:
                    await asyncio.sleep(wait)
                group.create_task(load.ask(number, due))
            sent_seconds = time.perf_counter() - began
    else:
        async with asyncio.TaskGroup() as group:
            for _ in range(plan["clients"]):
                group.create_task(_ask_on(load))
        num_requests, sent_seconds = load.answers.total(), plan["seconds"]
    allowed = {"200", *REFUSALS}
    return {
        "asked_a_second": round(num_requests / sent_seconds, 1),
        "ok_a_second": round(load.num_ok_in_time / plan["seconds"], 1),
        "answers": dict(load.answers.most_common()),
        "wrong": sum(number for what, number in load.answers.items() if what not in allowed),
        "connections": load.num_connections,
        "ok": _quantiles(load.ok_seconds),
        "refused": _quantiles(load.refused_seconds),
    }


async def _ask_on(load: _Load) -> None:
    while (now := time.perf_counter()) < load.end:
        await load.ask(0, now)


def _messages(plan: dict[str, Any]) -> list[bytes]:
    body = bytes.fromhex(plan["body"])
    headers = {"Host": "localhost", "Content-Length": str(len(body))} | plan["headers"]
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    paths = (plan["path"], f"{plan['path']}?timeout_seconds={DEADLINE_SECONDS}")
    return [f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + body for path in paths]


def _npy(num_images: int) -> bytes:
    file = io.BytesIO()
    np.save(file, np.repeat(image(), num_images, axis=0))
    return file.getvalue()


def _quantiles(seconds: list[float]) -> dict[str, float]:
    found = sorted(seconds) or [0.0]
    return {
        "p50_ms": round(1000 * found[len(found) // 2], 1),
        "p99_ms": round(1000 * found[len(found) * 99 // 100], 1),
        "max_ms": round(1000 * found[-1], 1),
    }


def _mebibytes(pid: int, what: str) -> float:
    found = re.search(
        rf"^{what}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE
    )
    return round(int(found[1]) / 1024, 1) if found else 0.0


if __name__ == "__main__":
    main()

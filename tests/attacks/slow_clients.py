"""Thousands of clients that upload a few bytes a second, and one healthy client.

``python -m tests.attacks.slow_clients --clients 2000 --seconds 60`` starts the API's own process,
and reports what the healthy client waits and what the process holds, before and meanwhile.
"""

import argparse
import asyncio
import json
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import psutil
from rich.console import Console

from tests.attacks.server import Server, running_server
from tests.fixtures.api import zip_bytes

_DECLARED_BYTES = 1_000_000
_FORM_HEAD = (
    b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.pt2"\r\n\r\nPK\x03\x04'
)


@dataclass
class Crowd:
    """Outcomes of the slow clients."""

    num_sending: int = 0
    statuses: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """Durations of one kind of request, in seconds, and their number."""

    count: int
    p50: float
    p99: float


@contextmanager
def slow_crowd(server: Server, num_clients: int, pause: float = 1.0) -> Iterator[Crowd]:
    """Keep a number of uploads open while the block runs, half raw bodies and half forms."""
    crowd, stop, are_there = Crowd(), threading.Event(), threading.Event()

    async def run() -> None:
        tasks = [
            asyncio.create_task(_slow_client(server, crowd, number, pause))
            for number in range(num_clients)
        ]
        while not stop.is_set():
            if crowd.num_sending >= num_clients:
                are_there.set()
            await asyncio.sleep(0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert are_there.wait(120), f"{crowd.num_sending} of {num_clients} clients got through"
        yield crowd
    finally:
        stop.set()
        thread.join()


async def _slow_client(server: Server, crowd: Crowd, number: int, pause: float) -> None:
    """Upload slowly, and start again when the upload is cut off."""
    while True:
        crowd.statuses.append(await _slow_upload(server, crowd, number, pause))
        crowd.num_sending -= 1
        await asyncio.sleep(pause)


async def _slow_upload(server: Server, crowd: Crowd, number: int, pause: float) -> int:
    is_form = number % 2 == 1
    kind = b"multipart/form-data; boundary=b" if is_form else b"application/octet-stream"
    head = b"POST /v1/models HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + kind
    head += f"\r\nContent-Length: {_DECLARED_BYTES}\r\n".encode()
    head += f"Authorization: Bearer {server.key}\r\n\r\n".encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(head + (_FORM_HEAD if is_form else b"PK\x03\x04"))
        await writer.drain()
        crowd.num_sending += 1
        answer = asyncio.create_task(reader.readline())
        while not answer.done():
            await asyncio.sleep(pause)
            writer.write(b"slow")
            await writer.drain()
        return int(answer.result().split()[1])
    except (OSError, IndexError):
        return 0  # cut off without a word
    finally:
        writer.close()


@dataclass
class HealthyClient:
    """A client that polls, uploads and downloads, and records the durations."""

    server: Server
    took: dict[str, list[float]] = field(default_factory=dict)

    def work(self, seconds: float) -> dict[str, Report]:
        """Send requests of each kind for a time; every answer must be a success."""
        self.took = {"poll": [], "upload": [], "download": []}
        headers = self.server.authorization
        end = time.monotonic() + seconds
        with httpx.Client(
            base_url=self.server.url, headers=headers, timeout=60, trust_env=False
        ) as client:
            model = client.post("/v1/models", content=zip_bytes()).raise_for_status().json()["id"]
            while time.monotonic() < end or not self.took["download"]:
                for _ in range(5):
                    self._time("poll", lambda: client.get(f"/v1/models/{model}"))
                self._time("upload", lambda: client.post("/v1/models", content=_large()))
                self._time("download", lambda: client.get("/openapi.json"))
                time.sleep(0.05)
        return {name: _report(found) for name, found in self.took.items()}

    def _time(self, name: str, request: Callable[[], httpx.Response]) -> None:
        started = time.perf_counter()
        request().raise_for_status()
        self.took[name].append(time.perf_counter() - started)


def _large() -> bytes:
    return zip_bytes().ljust(1_000_000, b"\0")


def _report(found: list[float]) -> Report:
    ordered = sorted(found)
    last = ordered[int(0.99 * (len(ordered) - 1))]
    return Report(len(found), round(statistics.median(found), 4), round(last, 4))


@contextmanager
def _peak_of(process: psutil.Process) -> Iterator[dict[str, float]]:
    peak, stop = {"rss_mb": 0.0, "threads": 0.0, "files": 0.0}, threading.Event()

    def look() -> None:
        while not stop.wait(0.2):
            now = _holds(process)
            for name, value in now.items():
                peak[name] = max(peak[name], value)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def _holds(process: psutil.Process) -> dict[str, float]:
    return {
        "rss_mb": round(process.memory_info().rss / 1e6, 1),
        "threads": float(process.num_threads()),
        "files": float(process.num_fds()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.attacks.slow_clients")
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=20.0, help="Of each measurement.")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    result: dict[str, object] = {"clients": options.clients}
    many = {"QUOTAS__UPLOADS": "100000"}  # of one tenant: the quota is not what is tested here
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder) / "data", **many) as server,
    ):
        process, client = psutil.Process(server.pid), HealthyClient(server)
        client.work(2)
        result["before"] = {name: asdict(r) for name, r in client.work(options.seconds).items()}
        result["holds_before"] = _holds(process)
        with _peak_of(process) as peak, slow_crowd(server, options.clients) as crowd:
            result["during"] = {n: asdict(r) for n, r in client.work(options.seconds).items()}
        result["peak"] = peak
        result["slow_statuses"] = {s: crowd.statuses.count(s) for s in set(crowd.statuses)}
        with suppress(psutil.NoSuchProcess):
            time.sleep(2)
            result["holds_after"] = _holds(process)
    Console(highlight=False).print_json(json.dumps(result))


if __name__ == "__main__":
    main()

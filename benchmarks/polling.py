"""Latency of polling a job, with few and with many jobs in the database.

Usage: python -m benchmarks.polling [--rate 500 …] [--seconds 10] [--runs 3] [--output FILE].
Only the API process of `secateur serve`, with default settings (SQLite in WAL mode, authentication
on), over 100 and then 10,000 queued jobs inserted directly for two tenants, so that queue positions
must be computed. The client is a separate open-loop process: requests are due at fixed times and a
latency counts from the due time, so a slow response delays no later request. It writes HTTP/1.1 by
hand over keep-alive connections, because httpx uses more CPU per request than the server and would
be the bottleneck. At most ``--connections`` requests are in flight; further ones wait.

Then the client pages through the whole list. Medians of the runs. Writes JSON.
"""

import argparse
import asyncio
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from app.contracts.ids import new_id
from app.contracts.job import JobKind
from app.contracts.settings import Settings
from app.contracts.spec import PruneConfig
from app.keys.service import create_key
from app.records.database import Sessions, create_database, create_sessions
from app.records.jobs import NewJob, create_job
from app.records.migrations import upgrade
from app.records.tables import EventRow, JobRow
from benchmarks.machine import machine

SIZES = (100, 10_000)
SEED = 1
PAGE = 100
WARM_UP_SECONDS = 2.0
_START_SECONDS = 30
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Server:
    """The API process and the key of its tenant."""

    port: int
    pid: int
    key: str
    job_ids: tuple[str, ...]

    def cpu_seconds(self) -> float:
        """Return the CPU seconds used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


def main() -> None:
    """Run the benchmark, or act as its client with ``--client``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=float, nargs="+", default=[150.0, 500.0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--client", type=Path, help="Act as the client described in this file.")
    options = parser.parse_args()
    if options.client is not None:
        asyncio.run(_be_client(json.loads(options.client.read_text())))
        return
    result: dict[str, Any] = {
        "machine": machine(),
        "seed": SEED,
        "seconds": options.seconds,
        "runs": options.runs,
        "connections": options.connections,
        "sizes": {},
    }
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder, _server(Path(folder), size) as server:
            for rate in options.rate:
                runs = [
                    _measure(server, options, Path(folder), rate, run)
                    for run in range(options.runs)
                ]
                median = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
                print(f"{size} jobs, {rate:g}/s:", json.dumps(median))
                result["sizes"].setdefault(str(size), {})[f"{rate:g}"] = {
                    "median": median,
                    "runs": runs,
                }
    if options.output is not None:
        options.output.write_text(json.dumps(result, indent=1) + "\n")


def _measure(
    server: Server, options: argparse.Namespace, folder: Path, rate: float, run: int
) -> dict[str, float]:
    plan = {
        "port": server.port,
        "key": server.key,
        "job_ids": server.job_ids,
        "rate": rate,
        "connections": options.connections,
        "seed": SEED + run,
    }
    _client(folder, plan | {"seconds": WARM_UP_SECONDS})
    before = server.cpu_seconds()
    polled = _client(folder, plan | {"seconds": options.seconds})
    num_requests = polled.pop("num_requests")
    cpu = server.cpu_seconds() - before
    polled["server_cpu_ms_a_request"] = round(1000 * cpu / num_requests, 3)
    polled["server_cores"] = round(cpu / num_requests * polled["requests_a_second"], 3)
    paged = _client(folder, plan | {"is_paging": True})
    polled["load_average"] = os.getloadavg()[0]
    return polled | paged


def _client(folder: Path, plan: dict[str, Any]) -> dict[str, float]:
    path = folder / "client.json"
    path.write_text(json.dumps(plan))
    command = [sys.executable, "-m", "benchmarks.polling", "--client", str(path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  # ours
    found: dict[str, float] = json.loads(done.stdout)
    return found


@contextmanager
def _server(folder: Path, num_jobs: int) -> Iterator[Server]:
    settings = Settings(data_dir=folder)
    engine = create_database(settings.database_url)
    upgrade(engine)
    sessions = create_sessions(engine)
    _row, key = create_key(sessions, "default", "benchmark", ["admin"])
    job_ids = _insert_jobs(sessions, num_jobs)
    engine.dispose()
    with socket.socket() as listener:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as `secateur serve` does
        listener.bind(("127.0.0.1", 0))
        listener.listen(1024)
        number = listener.fileno()
        argv = [sys.executable, "-m", "app.server", "--fd", str(number)]
        environment = {**os.environ, "SECATEUR_DATA_DIR": str(folder)}  # noqa: TID251  # handed on
        with (folder / "api.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603  # our own command line
                argv, env=environment, stdout=log, stderr=log, pass_fds=(number,)
            )
        port = listener.getsockname()[1]
        try:
            _wait_for(port)
            yield Server(port, process.pid, key, job_ids)
        finally:
            process.terminate()
            process.wait()


def _insert_jobs(sessions: Sessions, num_jobs: int) -> tuple[str, ...]:
    """Insert queued jobs: one is created through the API's code, the others are copies."""
    config = PruneConfig().model_dump(mode="json")
    with sessions.begin() as session:
        new = NewJob("default", JobKind.PRUNE, {}, config, "cpu", 3)
        first = create_job(session, new)
        session.flush()
        values = {
            column.key: getattr(first, column.key) for column in JobRow.__mapper__.column_attrs
        }
        copies = [
            values
            | {
                "id": new_id("job"),
                "created_at": first.created_at + 0.001 * number,
                "queued_at": first.created_at + 0.001 * number,
                "tenant": "other" if number % 10 == 0 else "default",
            }
            for number in range(1, num_jobs)
        ]
        session.execute(insert(JobRow), copies)
        events = [
            {"job_id": copy["id"], "number": 1, "type": "job.queued", "data": {}, "created_at": 0.0}
            for copy in copies
        ]
        session.execute(insert(EventRow), events)
        return (first.id, *(c["id"] for c in copies if c["tenant"] == "default"))


def _wait_for(port: int) -> None:
    end = time.monotonic() + _START_SECONDS
    request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(request)
                if connection.recv(12).endswith(b"200"):
                    return
        except OSError:
            pass
        if time.monotonic() > end:
            raise TimeoutError("the API does not answer")
        time.sleep(0.1)


async def _be_client(plan: dict[str, Any]) -> None:
    found = await (_page(plan) if plan.get("is_paging") else _poll(plan))
    print(json.dumps(found))


class _Connection:
    """Keep-alive connection with a minimal HTTP parser for this API's responses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> "_Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def get(self, path: str, key: str) -> bytes:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n\r\n"
        self._writer.write(request.encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        if not head.startswith(b"http/1.1 200"):
            raise ValueError(f"{path}: {head[:40]!r}: {body[:200]!r}")
        return body


async def _poll(plan: dict[str, Any]) -> dict[str, float]:
    chance = random.Random(plan["seed"])  # noqa: S311  # not a secret
    free: asyncio.Queue[_Connection] = asyncio.Queue()
    for _ in range(plan["connections"]):
        free.put_nowait(await _Connection.open(plan["port"]))
    latencies: list[float] = []

    async def ask(path: str, due: float) -> None:
        connection = await free.get()
        await connection.get(path, plan["key"])
        free.put_nowait(connection)
        latencies.append(time.perf_counter() - due)

    num_requests = round(plan["rate"] * plan["seconds"])
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(num_requests):
            due = began + number / plan["rate"]
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            group.create_task(ask(f"/v1/jobs/{chance.choice(plan['job_ids'])}", due))
    took = time.perf_counter() - began
    latencies.sort()
    return {
        "num_requests": num_requests,
        "requests_a_second": round(num_requests / took, 1),
        "p50_ms": round(1000 * latencies[len(latencies) // 2], 2),
        "p99_ms": round(1000 * latencies[len(latencies) * 99 // 100], 2),
        "max_ms": round(1000 * latencies[-1], 2),
    }


async def _page(plan: dict[str, Any]) -> dict[str, float]:
    connection = await _Connection.open(plan["port"])
    latencies, after, num_jobs = [], "", 0
    for _ in range(100):
        began = time.perf_counter()
        body = await connection.get(f"/v1/jobs?limit={PAGE}{after}", plan["key"])
        latencies.append(time.perf_counter() - began)
        page = json.loads(body)
        num_jobs += len(page["data"])
        if not page["has_more"]:
            break
        after = f"&after={page['next_after']}"
    latencies.sort()
    return {
        "pages": len(latencies),
        "jobs_listed": num_jobs,
        "page_p50_ms": round(1000 * latencies[len(latencies) // 2], 2),
        "page_max_ms": round(1000 * latencies[-1], 2),
    }


if __name__ == "__main__":
    main()

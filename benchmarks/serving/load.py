"""Generate load with ``wrk`` and measure the server's processes."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.serving.servers import Call, Running, environment_of

START_SECONDS = 120
_TICKS = os.sysconf("SC_CLK_TCK")
_SCRIPT = Path(__file__).with_name("post.lua")
_RESULT = re.compile(r"^RESULT (.*)$", re.MULTILINE)


@contextmanager
def started(running: Running, port: int, log: Path) -> Iterator[int]:
    """Start a server, wait until it answers every call, and yield its process id."""
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603  # our own command lines
            list(running.argv),
            env=environment_of(running),
            cwd=running.folder,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        for call in running.calls.values():
            _wait(process, port, call, log)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    """Return a port below the ephemeral range; some peers derive further ports from it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1]) // 2 + 1024


def measure(pid: int, port: int, call: Call, clients: int, seconds: int) -> dict[str, float]:
    """Return throughput and latency of a closed loop of ``clients``, and the server's cost."""
    body = Path(f"/tmp/secateur-serving-{os.getpid()}.body")  # noqa: S108  # wrk reads it at once
    body.write_bytes(call.body)
    headers = [f"{name}: {value}" for name, value in call.headers.items()]
    argv = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--timeout", "10s"]
    argv += ["-s", str(_SCRIPT), f"http://127.0.0.1:{port}{call.path}", "--", str(body), *headers]
    before = _cpu_seconds(pid)
    try:
        done = subprocess.run(argv, check=True, capture_output=True, text=True)  # noqa: S603
    finally:
        body.unlink()
    cpu = _cpu_seconds(pid) - before
    match = _RESULT.search(done.stdout)
    assert match is not None, done.stdout  # noqa: S101  # the script prints it
    found: dict[str, Any] = json.loads(match[1])
    requests = found["requests"]
    return {
        "requests_a_second": round(requests / found.pop("microseconds") * 1e6, 1),
        **found,
        "server_cpu_ms_a_request": round(1000 * cpu / max(1, requests), 3),
        "server_mebibytes": round(_bytes(pid) / 2**20, 1),
    }


def _wait(process: "subprocess.Popen[bytes]", port: int, call: Call, log: Path) -> None:
    request = urllib.request.Request(  # http
        f"http://127.0.0.1:{port}{call.path}", call.body, dict(call.headers), method="POST"
    )
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10):  # noqa: S310  # http
                return
        except (OSError, urllib.error.URLError) as error:
            said = error.read() if isinstance(error, urllib.error.HTTPError) else error
            if process.poll() is not None or time.monotonic() > end:
                tail = log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{call.path}: {said!r}\n{tail}") from error
            time.sleep(0.2)


def _family(pid: int) -> list[int]:
    """Return the server's process and its descendants."""
    found, children = [pid], Path(f"/proc/{pid}/task/{pid}/children")
    for task in Path(f"/proc/{pid}/task").glob("*/children") if children.exists() else ():
        for child in task.read_text().split():
            found += _family(int(child))
    return found


def _cpu_seconds(pid: int) -> float:
    total = 0
    for member in _family(pid):
        fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICKS


def _bytes(pid: int) -> int:
    """Return the memory of all processes with shared pages counted once (PSS), in bytes."""
    total = 0
    for member in _family(pid):
        match = re.search(
            r"^Pss:\s+(\d+) kB", Path(f"/proc/{member}/smaps_rollup").read_text(), re.MULTILINE
        )
        total += int(match[1]) * 1024 if match else 0
    return total

"""The serving process killed, frozen, out of memory or crashed: others are served in seconds."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import onnx
import pytest

from app.inference.supervisor import Supervisor
from tests.fixtures.serving import Serving, expanded, heavy, scaled, serving
from tests.integration.inference.networks import node, write_onnx

MEBIBYTE = 1024**2


def allowed(seconds: float) -> float:
    """Return the seconds that something may take: more where others use the cores."""
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    settings = {"memory_bytes": 1024 * MEBIBYTE, "run_bytes": 128 * MEBIBYTE}
    with serving(tmp_path_factory.mktemp("serving") / "data", inference=settings) as found:
        found.add_model("triple", scaled(3.0))
        found.add_model("slow", heavy(60))
        yield found


@pytest.fixture(scope="module")
def client(served: Serving) -> Iterator[httpx.Client]:
    with served.client() as found:
        yield found


def triple(client: httpx.Client) -> httpx.Response:
    return client.post("/infer?model=triple", json={"inputs": [[1, 2]]})


def wait_until_served(client: httpx.Client, began: float) -> None:
    while (answer := triple(client)).status_code != 200:
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert time.monotonic() - began < allowed(3), answer.text
        time.sleep(0.05)
    assert answer.json()["outputs"] == [[3.0, 6.0]]


def in_flight(client: httpx.Client, pool: ThreadPoolExecutor) -> "list[object]":
    """Start a request that takes seconds, and wait until its run has begun."""
    body = {"inputs": [[float(n)] for n in range(40)]}
    assert client.post("/infer?model=slow", json={"inputs": [[1.0]]}).status_code == 200
    asked = pool.submit(client.post, "/infer?model=slow", json=body)
    time.sleep(0.3)
    return [asked]


def wait_until_it_takes(supervisor: Supervisor, num_bytes: int) -> None:
    """Wait until the serving process has grown by ``num_bytes``, or for half a minute."""
    process, end = supervisor._process, time.monotonic() + 30
    assert process is not None
    before = process.memory_bytes()
    while process.memory_bytes() < before + num_bytes:
        assert time.monotonic() < end
        time.sleep(0.01)


def freeze(pid: int) -> None:
    """Stop a process, and wait until all its threads have stopped."""
    os.kill(pid, signal.SIGSTOP)
    threads = list(Path(f"/proc/{pid}/task").iterdir())
    while any((t / "stat").read_text().rpartition(")")[2].split()[0] != "T" for t in threads):
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_killed_or_frozen_process_is_answered_for_within_a_second_and_replaced(
    number: signal.Signals, served: Serving, client: httpx.Client
) -> None:
    wait_until_served(client, time.monotonic() + 60)
    old = served.supervisor.pid
    assert old is not None
    with ThreadPoolExecutor(1) as pool:
        (asked,) = in_flight(client, pool)
        began = time.monotonic()
        os.kill(old, number)
        answer = asked.result()  # type: ignore[attr-defined]
        assert time.monotonic() - began < allowed(1)
    assert (answer.status_code, answer.json()["code"]) == (503, "serving_unavailable")
    assert answer.headers["retry-after"] == "1"
    wait_until_served(client, began)
    assert served.supervisor.pid != old
    assert client.get("/readyz").json()["serving_process"] == "ok"


def test_a_frozen_process_is_noticed_by_the_next_request_if_none_was_in_flight(
    served: Serving, client: httpx.Client
) -> None:
    wait_until_served(client, time.monotonic() + 60)
    assert served.supervisor.pid is not None
    freeze(served.supervisor.pid)
    began = time.monotonic()
    assert triple(client).status_code == 503
    assert time.monotonic() - began < allowed(1)
    wait_until_served(client, began)


def test_a_process_that_outgrows_its_memory_is_replaced(
    served: Serving, client: httpx.Client
) -> None:
    wait_until_served(client, time.monotonic() + 60)
    supervisor = served.supervisor
    old, limit = supervisor.pid, supervisor._most_bytes
    with ThreadPoolExecutor(1) as pool:
        (asked,) = in_flight(client, pool)
        began = time.monotonic()
        supervisor._most_bytes = 1  # as if it had grown
        assert asked.result().status_code == 503  # type: ignore[attr-defined]
        supervisor._most_bytes = limit
        assert time.monotonic() - began < allowed(1)
    wait_until_served(client, began)
    assert supervisor.pid != old
    supervisor.breaker._suspects.clear()


def test_only_the_model_that_took_the_memory_is_blamed_for_it(
    served: Serving, client: httpx.Client, tmp_path: Path
) -> None:
    """All models that were being computed counted as the cause, other tenants' too."""
    wait_until_served(client, time.monotonic() + 60)
    steps = [node("Exp", [f"s{n}"], [f"s{n + 1}"]) for n in range(40)]
    nodes = [node("Tile", ["x", "times"], ["s0"]), *steps]
    nodes.append(node("ReduceSum", ["s40"], ["y"], keepdims=1))
    times = np.array([100 * MEBIBYTE])
    path = write_onnx(tmp_path / "m.onnx", nodes, {"x": ["width"]}, {"y": [1]}, times=times)
    served.add_model("greedy", onnx.load(path))
    supervisor = served.supervisor
    limit = supervisor._most_bytes
    with ThreadPoolExecutor(2) as pool:
        (asked,) = in_flight(client, pool)
        other = pool.submit(client.post, "/infer?model=greedy", json={"inputs": [0.0]})
        wait_until_it_takes(supervisor, 300 * MEBIBYTE)
        supervisor._most_bytes = 1  # as if it had grown
        assert (asked.result().status_code, other.result().status_code) == (503, 503)  # type: ignore[attr-defined]
        supervisor._most_bytes = limit
    wait_until_served(client, time.monotonic() + 60)
    end = time.monotonic() + 60
    while not supervisor.breaker.is_active:
        assert time.monotonic() < end
        time.sleep(0.01)
    (blamed,) = supervisor.breaker._suspects
    assert blamed.startswith(hashlib.sha256(path.read_bytes()).hexdigest())
    supervisor.breaker._suspects.clear()


def test_a_run_that_finds_no_memory_is_refused_and_the_process_lives(
    served: Serving, client: httpx.Client
) -> None:
    """Models whose sizes could not be measured at load share a limit."""
    wait_until_served(client, time.monotonic() + 60)
    model = expanded(2)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "width"
    repeats = model.graph.node[0].attribute[0].t
    repeats.ClearField("raw_data")
    del repeats.int64_data[:]
    repeats.int64_data.extend([1, 1])
    tile = model.graph.node[2]
    tile.op_type = "Tile"
    repeats.int64_data[1] = 400 * MEBIBYTE
    served.add_model("bloated", model)
    old = served.supervisor.pid
    answer = client.post("/infer?model=bloated", json={"inputs": [[1.0]]})
    assert answer.status_code == 413, answer.text
    limit = served.context.settings.inference.cache_bytes + 256 * MEBIBYTE
    assert f"more memory than is left of {limit} bytes" in answer.json()["detail"]
    assert triple(client).status_code == 200
    assert served.supervisor.pid == old


def test_a_model_that_crashes_the_process_twice_is_held_back_and_others_are_served(
    served: Serving, client: httpx.Client
) -> None:
    with ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            wait_until_served(client, time.monotonic() + 60)
            (asked,) = in_flight(client, pool)
            assert served.supervisor.pid is not None
            os.kill(served.supervisor.pid, signal.SIGSEGV)
            assert asked.result().status_code == 503  # type: ignore[attr-defined]
    began = time.monotonic()
    wait_until_served(client, began)
    pid = served.supervisor.pid
    for _ in range(3):
        answer = client.post("/infer?model=slow", json={"inputs": [[1.0]]})
        assert (answer.status_code, "held back" in answer.text) == (503, True)
        assert int(answer.headers["retry-after"]) > 1
        assert triple(client).status_code == 200
    assert served.supervisor.pid == pid


def test_the_process_has_no_secrets_no_files_and_no_rights(
    served: Serving, client: httpx.Client
) -> None:
    wait_until_served(client, time.monotonic() + 60)
    process = Path(f"/proc/{served.supervisor.pid}")
    environment = (process / "environ").read_bytes()
    assert b"SECATEUR" not in environment
    assert b"AWS" not in environment
    assert list((process / "cwd").iterdir()) == []
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines())
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    opened = [str(path.readlink()) for path in (process / "fd").iterdir()]
    assert not [name for name in opened if str(served.folder) in name], opened


def test_the_process_dies_with_the_api_even_if_it_is_frozen(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from app.contracts.settings import Settings\n"
        "from app.inference.supervisor import Supervisor\n"
        "async def main():\n"
        "    supervisor = Supervisor(Settings(data_dir=Path(sys.argv[1])), lambda: None)\n"
        "    await supervisor.start()\n"
        "    await supervisor.wait_ready()\n"
        "    print(supervisor.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as api:
        assert api.stdout is not None
        said = api.stdout.readline()
        while not said.strip().isdigit():
            assert said, "it ended"
            said = api.stdout.readline()
        pid = int(said)
        os.kill(pid, signal.SIGSTOP)
        api.kill()
    end = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists():
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "Z":  # nobody reaps it here
            break
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_crash_is_blamed_on_the_call_of_the_thread_that_crashed(tmp_path: Path) -> None:
    code = (
        "import faulthandler, sys, threading, time\n"
        "from app.serving.crash import CrashNotes\n"
        "notes = CrashNotes(int(sys.argv[1]))\n"
        "def compute(number, work):\n"
        "    with notes.computing(number):\n"
        "        work()\n"
        "sleep = lambda: time.sleep(30)\n"
        "for number in (7, 9):\n"
        "    threading.Thread(target=compute, args=(number, sleep), daemon=True).start()\n"
        "threading.Thread(target=compute, args=(8, faulthandler._sigsegv)).start()\n"
    )
    from app.serving.crash import crashed_call  # noqa: PLC0415  # beside the code it is about

    with (tmp_path / "notes").open("w+b") as file:
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        command = [sys.executable, "-c", code, str(file.fileno())]
        done = subprocess.run(
            command, pass_fds=[file.fileno()], env=environment, check=False, timeout=20
        )
        assert done.returncode == -signal.SIGSEGV
        assert crashed_call(file.fileno()) == 8

"""Jobs' processes are forked from one server, isolated, and end with their worker."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.sandbox.inherited import SERVER_SOCKET
from app.sandbox.limits import ProcessLimits
from app.sandbox.needs import Needs
from tests.integration.worker import probing_child
from tests.integration.worker.world import wait_for
from worker.fork_server.client import Child, ChildRequest, ForkServer, ForkServerError

BROKEN = "tests.integration.worker.broken_child"
# The tests' own modules are found nowhere else; the service's server does without.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with closing(ForkServer(probing_child.__name__, ENVIRONMENT)) as running:
        yield running


def start(
    server: ForkServer,
    folder: Path,
    what: str,
    limits: ProcessLimits | None = None,
    *,
    is_gpu: bool = False,
) -> Child:
    """Start a child and wait until it runs."""
    folder.mkdir(exist_ok=True)
    secret = folder.parent / "secrets" / "key"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text("sec_x")
    path = folder / "request.json"
    body = {"what": what, "folder": str(folder), "secret": str(secret), "worker": os.getpid()}
    path.write_text(json.dumps(body))
    reader, writer = os.pipe()
    limits = limits or ProcessLimits()
    request = ChildRequest(path, folder, folder / "log.txt", [folder], limits, Needs(gpu=is_gpu))
    try:
        child = server.start_child(request, writer)
    finally:
        os.close(writer)
    assert os.read(reader, 100) == b"begun\n", (folder / "log.txt").read_text()
    os.close(reader)
    return child


def test_the_services_data_is_hidden_below_a_readable_folder(tmp_path: Path) -> None:
    path = f"{ENVIRONMENT['PYTHONPATH']}{os.pathsep}{tmp_path}"
    (tmp_path / "secrets").mkdir()
    (tmp_path / "module.py").write_text("")
    environment = {**ENVIRONMENT, "PYTHONPATH": path}
    hidden = [tmp_path / "secrets"]
    with closing(ForkServer(probing_child.__name__, environment, hidden)) as server:
        assert start(server, tmp_path / "home", "probe").wait(20) == 7
    found = json.loads((tmp_path / "home" / "found.json").read_text())
    assert {found["read a secret"], found["list the secrets"]} == {"Permission denied"}


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state in {"Z", "X"}


def test_a_child_reaches_nothing_but_its_own_folder(server: ForkServer, tmp_path: Path) -> None:
    limits = ProcessLimits(file_bytes=1_000_000, open_files=64)
    child = start(server, tmp_path / "home", "probe", limits)
    assert child.wait(20) == 7
    assert {"files", "filter"} <= set(child.isolation), "this kernel has Landlock and seccomp"
    refused, forbidden = "Permission denied", "Operation not permitted"
    assert json.loads((tmp_path / "home" / "found.json").read_text()) == {
        "write its own folder": "done",
        "read the system": "done",
        "make a TCP socket": forbidden,
        "make a unix socket": forbidden,
        "read a secret": refused,
        "list the secrets": refused,
        "write beside a secret": refused,
        "remove a secret": refused,
        "read a worker's environment": refused,
        "signal the worker": forbidden,
        "make a symbolic link": forbidden,
        "make a pipe": forbidden,
        "make a socket file": forbidden,
        "make a device": forbidden,
        "make a block device": forbidden,
        "link a secret": forbidden,
        "write a large file": "File too large",
        "open many files": "Too many open files",
    }
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["key"]


@pytest.mark.parametrize("is_gpu", [False, True])
def test_only_a_job_on_a_gpu_may_name_its_threads(
    server: ForkServer, tmp_path: Path, *, is_gpu: bool
) -> None:
    """NVIDIA's driver names threads when it is initialised, and fails if it cannot."""
    child = start(server, tmp_path / "home", "name threads", is_gpu=is_gpu)
    assert child.wait(20) == 7
    naming = "done" if is_gpu else "Permission denied"
    assert json.loads((tmp_path / "home" / "found.json").read_text()) == {
        "name a thread": naming,
        "write beside the threads": "Permission denied",
        "see a GPU": "all" if is_gpu else "none",
    }


def test_a_child_collects_garbage(server: ForkServer, tmp_path: Path) -> None:
    """The server does not while it imports."""
    assert start(server, tmp_path / "home", "collect garbage").wait(20) == 1


def test_children_are_forked_from_one_server(server: ForkServer, tmp_path: Path) -> None:
    found = [start(server, tmp_path / name, "wait") for name in ("one", "two")]
    parents = {Path(f"/proc/{child.pid}/stat").read_text().split()[3] for child in found}
    assert len(parents) == 1
    for child in found:
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait(20) == -signal.SIGKILL


def test_a_child_that_outlives_its_worker_is_ended_by_its_cpu_time(
    server: ForkServer, tmp_path: Path
) -> None:
    child = start(server, tmp_path / "home", "burn", ProcessLimits(cpu_seconds=1))
    assert child.wait(60) == -signal.SIGKILL


def test_children_die_with_their_server_and_the_next_has_a_new_one(tmp_path: Path) -> None:
    with closing(ForkServer(probing_child.__name__, ENVIRONMENT)) as server:
        child = start(server, tmp_path / "one", "wait")
        parent = int(Path(f"/proc/{child.pid}/stat").read_text().split()[3])
        os.kill(parent, signal.SIGKILL)
        assert child.wait(20) == -signal.SIGKILL
        wait_for(lambda: is_gone(child.pid))
        again = start(server, tmp_path / "two", "wait")
    wait_for(lambda: is_gone(again.pid))


def test_a_server_made_for_a_worker_ends_with_it_alone_and_is_replaced_if_it_dies(
    tmp_path: Path,
) -> None:
    """`secateur serve` forks the servers of its workers from one process."""
    argv = [sys.executable, "-m", "worker.fork_server", "--module", probing_child.__name__]
    pairs = [socket.socketpair() for _ in range(2)]
    numbers = [end.fileno() for _, end in pairs]
    argv += ["--socket", *map(str, numbers)]
    with subprocess.Popen(argv, env=ENVIRONMENT, pass_fds=numbers) as process:
        for _, end in pairs:
            end.close()
        one, two = (
            ForkServer(probing_child.__name__, {**ENVIRONMENT, SERVER_SOCKET: str(ours.detach())})
            for ours, _ in pairs
        )
        with closing(one), closing(two):
            ended, kept = start(one, tmp_path / "one", "wait"), start(two, tmp_path / "two", "wait")
            assert parent_of(ended.pid) == process.pid
            assert parent_of(parent_of(kept.pid)) == process.pid
            one.close()
            assert process.wait(20) == 0
            wait_for(lambda: is_gone(ended.pid))
            assert not is_gone(kept.pid)
            os.kill(parent_of(kept.pid), signal.SIGKILL)
            assert kept.wait(20) == -signal.SIGKILL
            again = start(two, tmp_path / "again", "wait")
            assert parent_of(parent_of(again.pid)) == os.getpid(), "its own"


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_server_and_children_die_with_their_worker(tmp_path: Path) -> None:
    script = (
        "import os, sys, time; from pathlib import Path\n"
        "from tests.integration.worker import test_fork_server as test\n"
        "server = test.ForkServer(test.probing_child.__name__, test.ENVIRONMENT)\n"
        f"child = test.start(server, Path({str(tmp_path)!r})"
        " / 'home', 'wait')\n"
        "print(child.pid, flush=True); time.sleep(60)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        pid = int(next(line for line in worker.stdout if line.strip().isdigit()))
        assert not is_gone(pid)
        worker.kill()
    wait_for(lambda: is_gone(pid))


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("missing", "ModuleNotFoundError: No module named 'onnx_that_is_not_there'"),
        ("library", "libgomp_that_is_not_there.so.1: cannot open shared object file"),
        ("mismatch", "RuntimeError: operator torchvision::nms does not exist"),
        ("half", "ImportError: cannot import name 'nothing' from 'json'"),
        ("crash", "it was killed by SIGABRT"),
    ],
)
def test_a_module_that_cannot_be_imported_is_an_error_that_says_why(
    kind: str, cause: str, tmp_path: Path
) -> None:
    started = time.monotonic()
    with closing(ForkServer(BROKEN, {**ENVIRONMENT, "LC_ALL": kind})) as server:
        server.start(gpu=False)  # as a worker does before it is ready
        with pytest.raises(ForkServerError) as caught:
            start(server, tmp_path / "home", "wait")
    assert cause in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "/" not in str(caught.value), "where Python lies is not said"
    assert server.is_resting()
    assert time.monotonic() - started < 60

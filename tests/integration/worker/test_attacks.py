"""Code that runs in a job's process finds nothing to attack, and nothing of it outlives the job."""

import json
import os
import pty
import shutil
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.sandbox.isolation import RUNGS
from app.sandbox.limits import ProcessLimits
from app.sandbox.needs import Needs
from tests.integration.worker import attacking_child
from tests.integration.worker.test_fork_server import ENVIRONMENT, is_gone
from tests.integration.worker.world import wait_for
from worker.fork_server.client import Child, ChildRequest, ForkServer
from worker.orphans import clean_orphans, note_processes
from worker.process_watch import ProcessWatch, members

ATTACKS = tuple(attacking_child.attacks(1, Path("secret"), "/dev/tty", Path()))
# What a job that starts a compiler, or that computes on a GPU, may do.
COMPILES = {"start a process", "start a program"}
USES_A_GPU = COMPILES | {"make a file in memory", "share memory without a file",
                         "make a pair of sockets"}  # fmt: skip
NEEDS = {
    "cpu": (Needs(), frozenset()),
    "compiler": (Needs(compiler=True), COMPILES),
    "gpu": (Needs(gpu=True), USES_A_GPU | {"share the zero device"}),
}


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    with closing(ForkServer(attacking_child.__name__, ENVIRONMENT)) as running:
        yield running


def start(
    server: ForkServer,
    folder: Path,
    what: str,
    needs: Needs,
    *,
    terminal: str = "",
    limits: ProcessLimits | None = None,
) -> Child:
    """Start a child and wait until it has reported."""
    secret, home = folder / "secrets" / "key", folder / "home"
    secret.parent.mkdir()
    secret.write_text("sec_x")
    home.mkdir()
    request = {"what": what, "folder": str(home), "secret": str(secret), "worker": os.getpid(),
               "terminal": terminal}  # fmt: skip
    path = home / "request.json"
    path.write_text(json.dumps(request))
    reader, writer = os.pipe()
    child = server.start_child(
        ChildRequest(path, home, home / "log.txt", [home], limits or ProcessLimits(), needs), writer
    )
    os.close(writer)
    assert os.read(reader, 100) == b"begun\n", (home / "log.txt").read_text()
    os.close(reader)
    return child


@pytest.fixture(scope="module")
def found(
    server: ForkServer, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    """How each attack ended, by what the job needs."""
    terminals = pty.openpty()
    endings = {}
    for name, (needs, _) in NEEDS.items():
        folder = tmp_path_factory.mktemp(name)
        child = start(server, folder, "attack", needs, terminal=os.ttyname(terminals[1]))
        assert child.wait(30) == 7
        assert child.isolation == RUNGS, "this kernel has every rung"
        endings[name] = json.loads((folder / "home" / "found.json").read_text())
    for terminal in terminals:
        os.close(terminal)
    return endings


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_refused(found: dict[str, dict[str, str]], attack: str) -> None:
    for name, (_, allowed) in NEEDS.items():
        if attack not in allowed:
            assert found[name][attack] != "done", name


@pytest.mark.parametrize("needs", ["compiler", "gpu"])
def test_what_a_job_needs_is_allowed(found: dict[str, dict[str, str]], needs: str) -> None:
    allowed = NEEDS[needs][1]
    assert {attack: found[needs][attack] for attack in allowed} == dict.fromkeys(allowed, "done")


def test_a_job_that_needs_a_compiler_can_use_it(server: ForkServer, tmp_path: Path) -> None:
    if shutil.which("g++") is None and "CI" not in os.environ:
        pytest.skip("there is no C++ compiler")
    child = start(server, tmp_path, "compile", Needs(compiler=True))
    assert child.wait(30) == 7, (tmp_path / "home" / "log.txt").read_text()


@pytest.mark.parametrize("ending", ["by itself", "killed"])
def test_what_a_job_starts_ends_with_it(server: ForkServer, tmp_path: Path, ending: str) -> None:
    what = "leave processes" if ending == "by itself" else "wait with processes"
    child = start(server, tmp_path, what, Needs(compiler=True))
    if ending == "killed":
        os.kill(child.pid, signal.SIGKILL)
    assert child.wait(20) == (7 if ending == "by itself" else -signal.SIGKILL)
    left = int((tmp_path / "home" / "left").read_text())
    wait_for(lambda: is_gone(left))


def test_what_outlives_worker_and_server_ends_with_the_next_worker(tmp_path: Path) -> None:
    folder = tmp_path / "jobs" / "job_1" / "attempt-1-1"
    folder.mkdir(parents=True)
    with closing(ForkServer(attacking_child.__name__, ENVIRONMENT)) as server:
        child = start(server, tmp_path, "wait with processes", Needs(compiler=True))
        note_processes(folder, child.pid)
        record = folder / "processes.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), "worker": [2**22, "1"]}))
        left = int((tmp_path / "home" / "left").read_text())
        os.kill(int(Path(f"/proc/{child.pid}/stat").read_text().split()[3]), signal.SIGKILL)
        assert child.wait(20) == -signal.SIGKILL
        wait_for(lambda: is_gone(child.pid))
        assert not is_gone(left), "its parent's death does not end it"
        assert clean_orphans(tmp_path) == 1
        wait_for(lambda: is_gone(left))


@pytest.mark.parametrize(
    ("what", "needs"),
    [
        ("fill memory privately", Needs()),
        ("fill memory together", Needs(compiler=True)),
        ("fill shared memory", Needs(gpu=True)),
        ("start threads", Needs()),
        ("start processes", Needs(compiler=True)),
    ],
)
def test_a_job_is_ended_over_its_limits(
    server: ForkServer, tmp_path: Path, what: str, needs: Needs
) -> None:
    limits = ProcessLimits(memory_bytes=200 * 1024**2, num_threads=100)
    child = start(server, tmp_path, what, needs, limits=limits)
    with ProcessWatch(child.pid, limits, has_children=needs.programs) as watch:
        assert child.wait(20) == -signal.SIGKILL, (tmp_path / "home" / "log.txt").read_text()
    assert watch.excess is not None
    assert watch.excess.is_memory == what.startswith("fill")
    assert watch.excess.message.endswith("209,715,200" if watch.excess.is_memory else "100")
    wait_for(lambda: not list(members(child.pid)))

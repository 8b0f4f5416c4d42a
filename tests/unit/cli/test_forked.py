"""Programs that `secateur serve` forks run as if they had been started on their own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.forked import Forked

PROGRAM = """
import os, signal, sys
print("argv", sys.argv[1:], "name", __name__)
print("environment", dict(os.environ))
print("open", [n for n in range(3, 256) if os.path.exists(f"/proc/self/fd/{n}")])
print("comm", open("/proc/self/comm").read().strip())
print("leads", os.getsid(0) == os.getpid())
print("default", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
print("blocked", signal.pthread_sigmask(signal.SIG_BLOCK, []))
what = sys.argv[1]
if what == "wait":
    print("waits", flush=True)
    signal.pause()
sys.exit({"ends": None, "message": "too bad", "three": 3}[what])
"""

Run = Callable[..., tuple[Forked, Path]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    (tmp_path / "forked_program.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(tmp_path)

    def started(what: str, *descriptors: int) -> tuple[Forked, Path]:
        path = tmp_path / "log"
        argv, environment = ["forked_program", what], {"ONLY": "this"}
        with path.open("wb") as log:
            return Forked("of-a-test-with-a-name", argv, environment, log, descriptors), path

    return started


def test_a_program_has_its_own_arguments_environment_files_and_signals(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECATEUR_API_KEY", "sk_not_for_workers")
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    reader, writer = os.pipe()
    try:
        program, log = run("ends", reader)
        assert program.wait(20) == 0, log.read_text()
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(reader)
        os.close(writer)
    assert log.read_text().splitlines() == [
        "argv ['ends'] name __main__",
        "environment {'ONLY': 'this'}",
        f"open [{reader}]",
        "comm secateur-of-a-t",
        "leads True",
        "default True",
        "blocked set()",
    ]


@pytest.mark.parametrize(("what", "code", "last"), [("message", 1, "too bad"), ("three", 3, "")])
def test_it_ends_with_its_own_exit_code(run: Run, what: str, code: int, last: str) -> None:
    program, log = run(what)
    assert program.wait(20) == program.poll() == code
    assert last in log.read_text().splitlines()[-1]


def test_an_error_is_in_the_log_and_goes_no_further(run: Run) -> None:
    program, log = run("anything else")
    assert program.wait(20) == 1
    assert "KeyError: 'anything else'" in log.read_text()


def test_it_can_be_waited_for_signalled_and_killed(run: Run) -> None:
    program, log = run("wait")
    with pytest.raises(subprocess.TimeoutExpired):
        program.wait(0.01)
    _until(lambda: "waits" in log.read_text())
    program.send_signal(signal.SIGTERM)
    assert program.wait(20) == -signal.SIGTERM
    program.send_signal(signal.SIGTERM)  # nobody is there

    program, _ = run("wait")
    program.kill()
    assert program.wait(20) == -signal.SIGKILL


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    code = """
import os, sys, pathlib
sys.path.insert(0, sys.argv[1])
from app.cli.forked import Forked
folder = pathlib.Path(sys.argv[1])
with (folder / "log").open("wb") as log:
    program = Forked("x", ["forked_program", "wait"], {}, log, [])
while "waits" not in (folder / "log").read_text():
    pass
print(program.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    (tmp_path / "forked_program.py").write_text(PROGRAM)
    argv = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    pid = int(done.stdout)
    _until(lambda: not Path(f"/proc/{pid}").exists() or "State:\tZ" in _status(pid))


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "State:\tZ"


def _until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.01)

"""Installations without a package that jobs need, or with a broken one."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli.worker_parts import Probe, how_to_install
from tests.fixtures.service import Service

# Stands in for a Python without these modules: no test can uninstall anything.
SHIM = """
import sys
from importlib.abc import MetaPathFinder

class Blocker(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {names!r}:
            raise eval({names!r}[name])
        return None

sys.meta_path.insert(0, Blocker())
"""
GONE = "ModuleNotFoundError(f'No module named {name!r}', name=name)"


def without(folder: Path, *names: str, **errors: str) -> dict[str, str]:
    """Return an environment in which the named modules cannot be imported, with these errors."""
    folder.mkdir(exist_ok=True)
    names_and_errors = dict.fromkeys(names, GONE) | errors
    (folder / "sitecustomize.py").write_text(SHIM.format(names=names_and_errors))
    return {**os.environ, "PYTHONPATH": str(folder), "SECATEUR_LOG_LEVEL": "warning"}


def test_modules_that_cannot_be_imported_are_named(tmp_path: Path) -> None:
    no_operator = "RuntimeError('operator torchvision::nms does not exist')"
    no_library = "ImportError('libgomp.so.1: cannot open shared object file: No such file')"
    shims = {
        "onnxscript": GONE,
        "pyarrow": GONE,
        "torchvision": no_operator,
        "onnx.onnx_cpp2py_export": no_library,
    }
    found = {part.name: part for part in Probe(without(tmp_path, **shims)).result()}
    for name in ("onnxscript", "pyarrow"):
        assert str(found[name]) == f"{name} is not installed"
        assert "[worker]'" in how_to_install([found[name]])
    assert "cannot be imported (RuntimeError: operator torchvision::nms does" in str(
        found["torchvision"]
    )
    assert "--force-reinstall torch torchvision" in how_to_install([found["torchvision"]])
    assert "cannot be imported (ImportError: libgomp.so.1:" in str(found["onnx"])
    assert "contains libgomp.so.1" in how_to_install([found["onnx"]])


def test_without_torch_nothing_else_is_named(tmp_path: Path) -> None:
    broken = Probe(without(tmp_path, torch=GONE)).result()
    assert [str(part) for part in broken] == ["torch is not installed"]
    assert "[worker]'" in how_to_install(broken)


def test_serve_says_what_is_missing_before_it_is_ready(tmp_path: Path) -> None:
    environment = without(tmp_path / "shim", "torch", "onnx")
    command = [str(Path(sys.executable).with_name("secateur")), "serve", "--port", "0"]
    done = subprocess.run(
        [*command, "--data-dir", str(tmp_path / "data")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "ready" not in done.stdout
    assert "jobs cannot run on this machine: torch is not installed" in done.stderr
    assert "pip install '" in done.stderr
    assert "--no-worker" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_a_worker_the_api_is_served_and_says_so(tmp_path: Path) -> None:
    service = Service(tmp_path / "data", **without(tmp_path / "shim", "torch"))
    service.start("--no-worker")
    try:
        assert "No worker runs here" in service.log.read_text()
        assert service.get("/readyz")["status"] == "ok"
        assert not (tmp_path / "data" / "logs" / "worker.log").exists()
    finally:
        assert service.stop(signal.SIGINT) == 0


def test_a_worker_started_by_hand_says_what_is_missing_and_ends(tmp_path: Path) -> None:
    environment = without(tmp_path / "shim", "onnx", "safetensors")
    command = [sys.executable, "-m", "celery", "--app", "worker.celery_app", "--quiet", "worker"]
    done = subprocess.run(
        [*command, "--pool", "threads", "-Q", "intake,maintenance"],
        env={**environment, "SECATEUR_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot run jobs: safetensors, onnx not installed" in done.stderr
    assert "[worker]'" in done.stderr


@pytest.mark.parametrize(
    ("command", "gone", "said"),
    [
        (["secateur", "serve"], "redis", "serve needs redis, which is not installed: pip install"),
        (["secateur", "keys", "list"], "sqlalchemy", "keys needs sqlalchemy, which is not"),
        (["secateur", "demo"], "onnx", "this machine and needs onnx: pip install"),
        (["secateur-engine", "inspect", "x.pt2"], "torch", "engine: torch is not installed: pip"),
    ],
)
def test_a_command_names_the_extra_that_it_needs(
    command: list[str], gone: str, said: str, tmp_path: Path
) -> None:
    start = {"secateur": "main", "secateur-engine": "engine"}[command[0]]
    script = (
        f"import sys; sys.argv = {command!r}; from secateur.commands import {start} as run; run()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=without(tmp_path, gone),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    extra = {"keys": "service", "inspect": "engine"}.get(command[1], "worker")
    assert done.returncode == 1
    assert said in done.stderr
    assert f"[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr

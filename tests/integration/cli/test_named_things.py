"""The command line with jobs, models and data sets that have names, against the real API."""

import io
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select
from typer.testing import CliRunner, Result

from app.cli.main import app
from app.records.tables import JobRow, ModelRow
from secateur import UnsupportedFileError
from secateur.core.folders import pack_folder
from tests.fixtures.api import add_report
from tests.fixtures.serving import Serving, add_model, serving
from tests.fixtures.shown import Shown, fill

RATIO = ("--config", '{"selection": {"mode": "ratio", "ratio": 0.5}}')
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("named") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def shown(api: Serving) -> Shown:
    found = fill(api.context.sessions)
    with api.context.sessions.begin() as session:
        for model in (found.model, found.pruned_model):
            session.get_one(ModelRow, model).name = "rn18"
        row = session.get_one(JobRow, found.jobs["succeeded"])
        row.name, row.tags = "First", ["prod"]
    return found


@pytest.fixture
def run(api: Serving, shown: Shown, monkeypatch: pytest.MonkeyPatch) -> Run:
    del shown
    monkeypatch.setenv("SECATEUR_URL", f"http://{api.address}")
    monkeypatch.setenv("SECATEUR_KEY", api.key()["Authorization"].removeprefix("Bearer "))
    monkeypatch.setenv("COLUMNS", "250")

    def call(*arguments: str, code: int = 0) -> Result:
        found = CliRunner().invoke(app, arguments)
        assert found.exit_code == code, found.output
        return found

    return call


def posted(result: Result) -> str:
    """Return the id on standard output, which the API's log shares in this process."""
    return re.findall(r"^job_\w+$", result.stdout, re.MULTILINE)[-1]


def row_of(api: Serving, job_id: str) -> JobRow:
    with api.context.sessions() as session:
        return session.get_one(JobRow, job_id)


def test_the_name_of_an_upload_stays_clear_after_its_first_job(
    api: Serving, shown: Shown, run: Run
) -> None:
    """The network that a job made has the name of the network that it pruned."""
    for name in ("rn18", "rn18@1"):
        job = posted(run("prune", name, "fashion", "--goal", "smaller"))
        row = row_of(api, job)
        assert (row.model_id, row.dataset_id) == (shown.model, shown.dataset), name
        assert row.goal == "smaller"
    job = posted(run("prune", "rn18@latest", "--set", "/retrain/epochs=0"))
    assert row_of(api, job).model_id == shown.pruned_model
    listed = run("models", "show", "rn18", code=1).output
    for text in ("rn18@1", "rn18@2", shown.model, shown.pruned_model, "rn18@latest"):
        assert text in listed
    assert shown.pruned_model in run("models", "show", "rn18@2").output


def test_the_newest_upload_of_a_name_is_pruned(api: Serving, shown: Shown, run: Run) -> None:
    del shown
    older, newer = (add_model(api.context, "twice", "0" * 64) for _ in range(2))
    job = posted(run("prune", "twice", "--goal", "smaller"))
    assert older != newer
    assert row_of(api, job).model_id == newer
    with api.context.sessions.begin() as session:
        session.get_one(ModelRow, newer).status = "rejected"
    job = posted(run("prune", "twice", "--goal", "smaller"))
    assert row_of(api, job).model_id == older


def test_options_refine_a_goal(api: Serving, shown: Shown, run: Run) -> None:
    arguments = ("prune", shown.model, shown.dataset, "--goal", "half the size", "--epochs", "2")
    row = row_of(api, posted(run(*arguments, "--job-name", "x", "--tag", "a")))
    assert row.goal is None
    assert row.config == {
        "selection": {"mode": "budget", "params": 0.5},
        "retrain": {"epochs": 2},
    }
    assert (row.name, row.tags) == ("x", ["a"])


def test_jobs_are_listed_with_names_quality_and_speed(shown: Shown, run: Run) -> None:
    text = run("jobs", "--search", "first").output
    for part in ("First, #prod", "rn18@1", "0.9243", "1.9x", shown.jobs["succeeded"]):
        assert part in text
    assert shown.jobs["failed"] not in text
    failed = run("jobs", "--status", "failed").output
    assert "failed: nan_loss" in failed
    assert "First" not in failed


def test_a_job_is_found_by_its_name(shown: Shown, run: Run) -> None:
    done, cancelled = shown.jobs["succeeded"], shown.jobs["cancelled"]
    assert done in run("jobs", "show", "First").output
    text = run("jobs", "compare", "First", cancelled).output
    assert "0.9243 (0.9063 to 0.9393)" in text
    assert "49.7%" in text
    run("jobs", "label", cancelled, "--name", "First", "--tag", "old")
    text = run("jobs", "show", "First", code=1).output
    assert done in text
    assert cancelled in text
    run("jobs", "label", cancelled, "--name", "")
    run("jobs", "show", "First")


def test_deletions_say_how_to_undo_them(shown: Shown, run: Run) -> None:
    job = shown.jobs["failed"]
    assert f"secateur jobs restore {job}" in run("jobs", "delete", job).output
    run("jobs", "show", job, code=1)
    assert f"Restored {job}" in run("jobs", "restore", job).output
    assert f"{job} is not deleted; nothing was restored" in run("jobs", "restore", job).output


def test_links_to_reports_are_listed_and_revoked(api: Serving, shown: Shown, run: Run) -> None:
    add_report(api.context, shown.jobs["succeeded"])
    link = run("jobs", "share", "First").stdout.split()[-1]
    made = link.rpartition("/")[2][:30]
    listed = run("jobs", "shares", "First").output
    assert (made in listed, "valid" in listed) == (True, True)
    assert link not in listed
    said = run("jobs", "unshare", link).output
    assert f"Revoked {made}, a link to the report of {shown.jobs['succeeded']}" in said
    assert "revoked" in run("jobs", "shares").output
    run("jobs", "unshare", made)  # by its id, and again
    run("jobs", "unshare", "shr_01JD0000000000000000000000", code=1)


@pytest.mark.parametrize(
    ("kind", "name"), [("models", "not-a-network"), ("datasets", "broken"), ("latencies", "pi-4")]
)
def test_what_is_stored_is_listed_deleted_and_restored(run: Run, kind: str, name: str) -> None:
    assert name in run(kind).output
    assert f'"name": "{name}"' in run(kind, "--json").output
    said = run(kind, "delete", name).output
    assert f"Deleted {name}. To undo: secateur {kind} restore " in said
    assert name not in run(kind).output
    restore = (kind, *said.rpartition(f"secateur {kind} ")[2].split())
    assert f"Restored {name}" in run(*restore).output
    assert name in run(kind).output
    assert f"{name} is not deleted; nothing was restored" in run(*restore).output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat/1.png", "dog/2.png", ".hidden/3.png"):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(path)
    (tmp_path / "pets" / "link.png").symlink_to(tmp_path / "pets/cat/1.png")
    return tmp_path / "pets"


def test_a_folder_of_images_is_packed_without_links_and_hidden_files(
    folder: Path, tmp_path: Path
) -> None:
    first = pack_folder(folder, tmp_path)
    data = first.read_bytes()
    assert first.name == "pets.zip"
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == ["cat/1.png", "dog/2.png"]
    (folder / "cat/1.png").touch()
    assert pack_folder(folder, tmp_path).read_bytes() == data, "the same folder is the same file"


def test_a_folder_of_something_else_is_explained(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"0")
    with pytest.raises(UnsupportedFileError, match="Hugging Face"):
        pack_folder(tmp_path, tmp_path)
    config = tmp_path / "config.json"
    assert pack_folder(config, tmp_path) == config


def test_a_sweep_of_failed_jobs_shows_its_table_and_how_to_see_why(
    api: Serving, run: Run, tmp_path: Path
) -> None:
    made = run("sweep", "rn18@1", "fashion", "--grid", "/selection/ratio=0.3,0.5", *RATIO)
    sweep = re.findall(r"^swp_\w+$", made.stdout, re.MULTILINE)[-1]
    with api.context.sessions.begin() as session:
        jobs = session.scalars(select(JobRow).where(JobRow.sweep_id == sweep)).all()
        for job in jobs:
            job.state, job.error = "failed", {"code": "data_error", "message": "no", "stage": None}
    output = run("sweep", sweep, "--picture", str(tmp_path / "sweep.svg"), code=1).output
    assert output.count("data_error: secateur watch job_") == 1
    assert "failed" in output.partition("data_error: ")[0]
    assert "no job of the sweep has a result to draw" in output

"""The command line with a service started by ``secateur serve``."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from PIL import Image

from tests.fixtures.commands import run_command
from tests.fixtures.hub import TOKEN, running_hub
from tests.fixtures.service import (
    Service,
    images,
    npz_bytes,
    serving,
    trained_model_bytes,
    trained_onnx_bytes,
)
from tests.fixtures.services import running_mlflow

COMMAND = Path(sys.executable).with_name("secateur")
FAST = ("--epochs", "1", "--set", "/retrain/batch_size=32", "--round-to", "4")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Run a service in the user's folder without options."""
    with serving(tmp_path_factory.mktemp("cli") / ".secateur") as found:
        yield found


@pytest.fixture(scope="module")
def folder(service: Service) -> Path:
    """Return the user's folder with a model, a data set and an image."""
    folder = service.folder.parent
    x, y = images()
    (folder / "model.pt2").write_bytes(trained_model_bytes())
    (folder / "data.npz").write_bytes(npz_bytes(x=x, y=y))
    Image.fromarray(x[0]).save(folder / "image.png")
    return folder


def run(
    folder: Path, *arguments: object, code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if "SECATEUR" not in name}
    done = run_command(
        "secateur.commands:main", ["secateur", *arguments], folder, {**inherited, **environment}
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def as_json(folder: Path, *arguments: object, code: int = 0) -> Any:
    return json.loads(run(folder, *arguments, "--json", code=code).stdout)


def parquet_bytes(x: np.ndarray, y: np.ndarray) -> bytes:
    """Return images and labels as the Hub's data sets have them."""
    encoded = []
    for image in x:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        encoded.append({"bytes": file.getvalue(), "path": None})
    file = io.BytesIO()
    pq.write_table(pa.table({"image": encoded, "label": y}), file)
    return file.getvalue()


def not_in_background() -> None:
    """Restore SIGINT: processes started with ``&`` in a shell ignore it and pass that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def job(folder: Path) -> str:
    """Push and prune a model without naming a URL or a key; return the job's id."""
    pushed = run(folder, "push", "model.pt2", "--name", "net")
    model = pushed.stdout.strip()
    assert model.startswith("mdl_")
    assert "net version 1 is ready" in pushed.stderr
    done = run(folder, "prune", model, "data.npz", "--macs", 0.5, *FAST, "--wait")
    job = done.stdout.strip()
    assert job.startswith("job_"), "a script gets the id alone"
    for words in ("epoch 1/1", "retrain", "top1 (test)", "latency p50, batch 1"):
        assert words in done.stderr
    return job


def test_artifacts_are_downloaded_and_complete(folder: Path, job: str) -> None:
    done = run(folder, "pull", job, "--out", "pruned")
    names = {Path(line).name for line in done.stdout.splitlines()}
    manifest = json.loads((folder / "pruned" / "manifest.json").read_text())
    assert names == {*manifest["files"], "manifest.json"}
    again = run(folder, "pull", "latest", "--out", "pruned", "--only", "plan.json")
    assert again.stdout == "pruned/plan.json\n"
    (folder / "pruned" / "plan.json").write_text("mine")
    kept = run(folder, "pull", job, "--out", "pruned", "--only", "plan.json", code=1)
    assert "with other bytes" in kept.stderr
    run(folder, "pull", job, "--out", "pruned", "--only", "plan.json", "--force")
    assert json.loads((folder / "pruned" / "plan.json").read_text())["fingerprint"]


def test_images_and_arrays_can_be_inferred(folder: Path, job: str) -> None:
    (answer,) = as_json(folder, "infer", job, "image.png", "--top-k", 1)
    assert answer["file"] == "image.png"
    assert answer["labels"][0]["label"] == str(images()[1][0])
    labelled = run(folder, "infer", "latest", "image.png")
    assert answer["labels"][0]["label"] in labelled.stdout
    assert "preprocessing" not in labelled.stderr
    uploaded = as_json(folder, "jobs", "show", job)["model"]
    assert "this model has no preprocessing" in run(folder, "infer", uploaded, "image.png").stderr
    x = (images(3)[0][:, None] / 255).astype(np.float32)
    np.save(folder / "x.npy", x)
    np.savez(folder / "x.npz", x=x)
    outputs = np.array(as_json(folder, "infer", "net", "x.npy")["outputs"])
    run(folder, "infer", "net", "x.npy", "--out", "y.npy")
    run(folder, "infer", "net", "x.npz", "--out", "y.npz")
    y = np.load(folder / "y.npy")
    assert np.allclose(y, outputs)
    named = np.load(folder / "y.npz")
    assert [np.array_equal(named[name], y) for name in named.files] == [True]
    base = as_json(folder, "infer", "net", "x.npy", "--base")["outputs"]
    assert not np.allclose(base, outputs)
    assert "float32, (3, 4)" in run(folder, "infer", "net", "x.npy").stdout


def test_resources_are_listed_shown_and_watched(folder: Path, job: str) -> None:
    assert job in run(folder, "jobs").stdout
    assert as_json(folder, "jobs", "--limit", 1)[0]["id"] == job
    shown = as_json(folder, "jobs", "show", "latest")
    assert shown["result"]["summary"]["retrained"]["macs"] > 0
    watched = run(folder, "watch", job)
    assert "top1 (test)" in watched.stdout
    models = as_json(folder, "models")
    assert {"net"} <= {model["name"] for model in models}
    assert models[0]["id"] in run(folder, "models", "show", models[0]["id"]).stdout
    report = run(folder, "models", "show", models[-1]["id"], "--report").stdout
    assert json.loads(report)["groups"]
    data = as_json(folder, "datasets")[0]
    assert "640" in run(folder, "datasets", "show", data["id"]).stdout
    pushed = run(folder, "push", "data.npz", "--name", "spare").stdout.strip()
    assert "Deleted" in run(folder, "datasets", "delete", pushed).stderr
    run(folder, "datasets", "show", pushed, code=1)


def test_a_preview_prunes_nothing(folder: Path, job: str) -> None:
    model = as_json(folder, "jobs", "show", job)["model"]
    plan = as_json(folder, "prune", model, "--macs", 0.5, "--plan")
    assert plan["pruned"]["macs"] <= 0.5 * plan["dense"]["macs"]
    assert "MACs" in run(folder, "prune", model, "--macs", 0.5, "--plan").stdout
    assert as_json(folder, "jobs", "--limit", 1)[0]["id"] == job


def test_a_stored_file_is_not_uploaded_again(folder: Path, job: str) -> None:
    before = as_json(folder, "jobs", "show", job)
    again = run(folder, "prune", "model.pt2", "data.npz", "--macs", 0.5, "--plan")
    assert f"model.pt2 is stored already: net version 1 ({before['model']})" in again.stderr
    assert f"data.npz is stored already: data ({before['dataset']})" in again.stderr
    other = run(folder, "prune", "model.pt2", "data.npz", "--preprocess", "unit", "--plan")
    assert "data.npz is stored already" not in other.stderr, "other preprocessing, other inputs"
    third = run(folder, "prune", "model.pt2", "data.npz", "--preprocess", "unit", "--plan")
    assert "data.npz is stored already" in third.stderr
    newest = as_json(folder, "datasets", "--limit", 1)[0]["id"]
    run(folder, "datasets", "delete", newest)


def test_a_network_of_a_library_is_pushed_by_name(folder: Path, tmp_path: Path) -> None:
    """Its weights are where the library's own loader looks before it downloads them."""
    name = "shufflenet_v2_x0_5"
    weights = torchvision.models.get_model_weights(name).DEFAULT
    stored = tmp_path / "hub" / "checkpoints" / weights.url.rpartition("/")[2]
    stored.parent.mkdir(parents=True)
    torch.save(torchvision.models.get_model(name).state_dict(), stored)
    pushed = run(folder, "push", f"torchvision/{name}", TORCH_HOME=str(tmp_path))
    assert "It was trained with: --preprocess imagenet" in pushed.stderr
    assert f"{name} version 1 is ready: 1,366,792 parameters" in pushed.stderr
    failed = run(folder, "push", "torchvision/resnet0", code=1)
    assert "torchvision has no network 'resnet0': did you mean" in failed.stderr


def test_a_sweep_ends_with_a_table(folder: Path, job: str) -> None:
    model = as_json(folder, "jobs", "show", job)["model"]
    config = {"selection": {"mode": "budget", "round_to": 1}, "retrain": {"epochs": 0}}
    (folder / "config.json").write_text(json.dumps(config))
    options = ("--config", "config.json", "--grid", "/selection/macs=0.8,0.4")
    picture = folder / "pareto.svg"
    done = run(folder, "sweep", model, "data.npz", *options, "--wait", "--picture", picture)
    sweep = done.stdout.strip()
    assert "/selection/macs=0.4" in done.stderr
    assert picture.read_bytes().startswith(b"<svg")
    table = as_json(folder, "sweep", sweep)["table"]
    assert [row["point"] for row in table] == [{"/selection/macs": 0.8}, {"/selection/macs": 0.4}]
    assert "mdl_" in run(folder, "sweep", sweep).stdout


def test_exit_codes_match_the_documentation(folder: Path, job: str) -> None:
    model = as_json(folder, "jobs", "show", job)["model"]
    failed = run(folder, "prune", model, "--macs", 0.0001, "--wait", code=1)
    assert "[plan_impossible" in failed.stderr
    assert failed.stdout.startswith("job_")
    assert "plan_impossible" in run(folder, "jobs", "show", "latest").stdout
    run(folder, "watch", "job_none", code=1)
    assert "SECATEUR_KEY" in run(folder, "jobs", code=4, SECATEUR_KEY="sec_a_b").stderr
    run(folder, "jobs", code=3, SECATEUR_URL="http://127.0.0.1:9")
    run(folder, "prune", model, "--macs", 0.5, "--params", 0.5, code=2)
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    for code in (0, 1, 2, 3, 4, 130):
        assert f"| `{code}` |" in page


def test_a_watched_job_continues_after_ctrl_c(folder: Path, job: str) -> None:
    model = as_json(folder, "jobs", "show", job)["model"]
    command = [COMMAND, "prune", model, "data.npz", "--set", "/retrain/epochs=1000", "--wait"]
    with subprocess.Popen(
        [*command, "--set", "/retrain/batch_size=4", "--round-to", "2"],
        cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=not_in_background,  # noqa: PLW1509
    ) as process:  # fmt: skip
        assert process.stdout is not None
        posted = process.stdout.readline().strip()
        end = time.monotonic() + 60
        while as_json(folder, "jobs", "show", posted)["stage"] != "retrain":
            assert time.monotonic() < end
            time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert f"secateur watch {posted}" in stderr
    assert as_json(folder, "jobs", "pause", posted)["status"] in {"pausing", "paused"}
    while as_json(folder, "jobs", "show", posted)["status"] != "paused":
        time.sleep(0.5)
    assert as_json(folder, "jobs", "resume", posted)["status"] in {"queued", "running"}
    assert as_json(folder, "jobs", "cancel", posted)["status"] in {"cancelling", "cancelled"}


def test_the_doctor_reports_no_failures(service: Service, folder: Path) -> None:
    findings = {row["name"]: row for row in as_json(folder, "doctor")}
    assert {name for name, row in findings.items() if row["status"] == "fail"} == set()
    assert "answers at" in findings["queue"]["detail"]
    assert "is readable and writable" in findings["store"]["detail"]
    assert service.url in findings["service"]["detail"]
    assert "tenant default" in findings["key"]["detail"]
    done = run(folder, "doctor", "--key", "sec_a_b", code=1)
    assert "secateur keys create" in done.stdout


@pytest.mark.filterwarnings("ignore")  # MLflow warns about its own modules
def test_a_model_of_mlflow_is_pruned_and_registered_with_its_origin(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow  # noqa: PLC0415  # a second: not in every process of the tests

    with running_mlflow(tmp_path) as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        mlflow.set_tracking_uri(url)
        logged = mlflow.onnx.log_model(onnx.load_from_string(trained_onnx_bytes()), name="model")
        registry = mlflow.MlflowClient()
        mlflow.register_model(logged.model_uri, "shapes")
        registry.set_registered_model_alias("shapes", "champion", "1")

        done = run(folder, "prune", "models:/shapes@champion", "data.npz", *FAST, "--wait")
        job = done.stdout.split()[0]
        done = run(folder, "register", job, "shapes", "--alias", "champion")

        assert done.stdout.split() == ["models:/shapes/2"]
        version = registry.get_model_version_by_alias("shapes", "champion")
        assert version.version == "2"
        assert version.tags["secateur.source"] == "models:/shapes/1"
        assert version.tags["secateur.job"] == job
        assert version.tags["secateur.verdict"]
        assert version.tags["secateur.certificate"] == "exact"
        logged_run = registry.get_run(version.run_id)
        assert logged_run.data.params["retrain.epochs"] == "1"
        assert logged_run.data.metrics["pruned.macs"] < logged_run.data.metrics["dense.macs"]
        assert registry.get_metric_history(version.run_id, "retrain.validation_loss")
        assert "report.html" in {file.path for file in registry.list_artifacts(version.run_id)}
        served = mlflow.pyfunc.load_model("models:/shapes@champion")
        (scores,) = served.predict(np.zeros((2, 1, 8, 8), np.float32)).values()
        assert scores.shape == (2, 4)

        registry.create_registered_model("pickled")
        (tmp_path / "model.pth").write_bytes(b"cos\nsystem\n")
        with mlflow.start_run() as pickled:
            mlflow.log_artifact(str(tmp_path / "model.pth"), "model")
            uri = mlflow.get_artifact_uri("model")
        registry.create_model_version("pickled", uri, pickled.info.run_id)
        refused = run(folder, "push", "models:/pickled/1", code=1)
        assert "mlflow.onnx.log_model" in refused.stderr
        absent = run(folder, "push", "models:/shapes/7", code=1)
        assert "models:/shapes/7" in absent.stderr


LICENCE = """license: other
license_name: shapes-licence
license_link: https://example.org/licence"""


def test_a_network_of_the_hub_is_pruned_and_published_with_its_licence(
    service: Service, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = images(200)
    with running_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HOME", str(tmp_path))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        hub.files["model", "ada/shapes"] = {
            "README.md": f"---\n{LICENCE}\ntags:\n- x\n---\n# Shapes\n".encode(),
            "onnx/model.onnx": trained_onnx_bytes(),
            "pytorch_model.bin": b"cos\nsystem\n",
        }
        hub.private.add("ada/shapes")
        hub.files["dataset", "ada/quadrants"] = {
            f"data/{split}-00000-of-00001.parquet": parquet_bytes(x[part], y[part])
            for split, part in (("train", slice(150)), ("test", slice(150, 200)))
        }
        done = run(folder, "push", "hf:datasets/ada/quadrants")
        dataset = done.stdout.strip()
        assert service.get(f"/v1/datasets/{dataset}")["summary"]["splits"] == {
            "train": 150, "validation": 0, "test": 50,
        }  # fmt: skip
        done = run(folder, "prune", "hf:ada/shapes", dataset, *FAST, "--wait")
        job = done.stdout.split()[0]
        assert service.get(f"/v1/jobs/{job}")["metadata"]["hf_source"].startswith("hf:ada/shapes@")

        done = run(folder, "publish", job, "ada/small")
        assert done.stdout.split() == [f"{hub.url}/ada/small"]
        assert "ada/small" in hub.private
        small = hub.files["model", "ada/small"]
        assert {"model.onnx", "pruned.pt2", "report.html", "README.md"} <= set(small)
        card = small["README.md"].decode()
        assert f"base_model: ada/shapes\n{LICENCE}\n---" in card
        summary = service.get(f"/v1/jobs/{job}")["result"]["summary"]
        assert f"| {summary['dense']['macs']:,} | {summary['retrained']['macs']:,} |" in card
        assert summary["verdict"]["text"] in card
        # The published network is read again from its own repository.
        pushed = run(folder, "push", "hf:ada/small", "--json")
        assert json.loads(pushed.stdout)["macs"] == summary["retrained"]["macs"]

        mine = "---\nlicense: mit\n---\n# My words\n\nKept.\n"
        hub.files["model", "ada/mine"] = {
            "README.md": mine.encode(), "LICENSE": b"MIT", "model_int8.onnx": b"earlier network's",
        }  # fmt: skip
        run(folder, "publish", job, "ada/mine")
        again = hub.files["model", "ada/mine"]
        assert again["LICENSE"] == b"MIT"
        assert "model_int8.onnx" not in again
        assert again["README.md"].decode().startswith(mine)
        assert b"## Pruned network" in again["README.md"]

        refused = run(folder, "publish", job, "ada/mine", code=1, HF_TOKEN="")
        absent = run(folder, "push", "hf:ada/none", code=1)
        assert "hf:ada/none" in absent.stderr
        for shown in (done, pushed, refused, absent):
            assert TOKEN not in shown.stdout + shown.stderr
        assert "HF_TOKEN" in refused.stderr
        texts = [each for files in hub.files.values() for each in files.values()]
        texts += [path.read_bytes() for path in service.folder.rglob("*") if path.is_file()]
        assert not [text for text in texts if TOKEN.encode() in text]

"""The complete service: ``secateur serve`` with real processes and real HTTP."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import torchvision
from PIL import Image
from safetensors.numpy import load_file
from safetensors.torch import save
from torch import nn

from secateur.engine.export.onnx_graph import give_names
from secateur.engine.program.exported import export
from tests.fixtures.networks import SmallNet
from tests.fixtures.service import (
    DEADLINE_SECONDS,
    FINAL,
    Service,
    artifact,
    images,
    npz_bytes,
    serving,
    trained_model_bytes,
    trained_onnx_bytes,
)
from tests.fixtures.services import S3Server, fresh_postgresql_url


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service") / "data") as found:
        yield found


def folder_zip_bytes() -> bytes:
    x, y = images(40)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number, (pixels, label) in enumerate(zip(x, y, strict=True)):
            png = io.BytesIO()
            Image.fromarray(pixels).save(png, "PNG")
            archive.writestr(f"class_{label}/{number}.png", png.getvalue())
    return buffer.getvalue()


@pytest.fixture(scope="module")
def model(service: Service) -> str:
    found = service.upload("models", trained_model_bytes(), name="small")
    assert found["status"] == "ready", found
    return str(found["id"])


@pytest.fixture(scope="module")
def dataset(service: Service) -> str:
    x, y = images()
    found = service.upload("datasets", npz_bytes(x=x, y=y), filename="d.npz")
    assert found["status"] == "ready", found
    assert found["summary"]["splits"] == {"train": 640, "validation": 80, "test": 80}
    return str(found["id"])


@pytest.fixture(scope="module")
def job(service: Service, model: str, dataset: str) -> dict[str, Any]:
    """Run the main job once, with an ordinary config, for the tests below."""
    config = {
        "selection": {"mode": "budget", "macs": 0.5, "round_to": 4},
        "retrain": {"epochs": 4, "batch_size": 32},
    }
    found = service.wait_for_job(service.post_job(model=model, dataset=dataset, config=config))
    assert found["status"] == "succeeded", found
    return found


def test_the_report_matches_its_schema_and_the_budget(
    service: Service, job: dict[str, Any]
) -> None:
    report = json.loads(artifact(service, job, "report.json"))
    jsonschema.validate(report, service.get("/v1/schemas/report"))
    assert report["retrained"]["macs"] <= 0.5 * report["dense"]["macs"]
    assert report["equivalence"]["is_exact"]
    assert report["equivalence"]["float64_max_relative_error"] <= 1e-9
    assert report["onnx_max_absolute_error"] < 1e-3
    metrics = {m["runtime"]: m["top1"] for m in report["retrained"]["metrics"][-4:]}
    assert metrics["onnxruntime"] > 0.9  # random guessing gives 0.25
    assert [epoch["epoch"] for epoch in report["history"]] == [1, 2, 3, 4]
    assert report["frozen"][0]["reason"] == "reaches the network's output"
    assert all(len(g["saliency"]) == g["num_groups"] for g in report["groups"])


def test_a_sweep_runs_its_grid_and_measures_saliency_once(
    service: Service, model: str, dataset: str
) -> None:
    cache = service.folder / "scratch" / "cache"
    before = set(cache.glob("*/*"))
    body = {
        "model": model, "dataset": dataset,
        "config": {
            "criterion": {"kind": "loss", "num_samples": 16},
            "selection": {"mode": "budget", "macs": 0.9, "round_to": 1},
            "retrain": {"epochs": 1, "batch_size": 32, "optimizer": {"learning_rate": 0.05}},
        },
        "grid": {"/selection/macs": [0.6, 0.3, 0.0001]},
    }  # fmt: skip
    response = service.client.post("/v1/sweeps", json=body)
    assert response.status_code == 202, response.text
    url = response.json()["urls"]["self"]
    found = service.wait(lambda: service.get(url), lambda sweep: sweep["status"] != "running")
    wide, narrow, impossible = found["table"]
    assert (found["status"], found["train"]) == ("partial", "front")
    assert found["counts"] == {"succeeded": 3 + bool(wide["is_trained"]), "failed": 1}
    assert impossible["error"] == "plan_impossible"
    assert narrow["is_trained"], "nothing is smaller, so nothing beats it"
    assert narrow["job"] != narrow["judging_job"]
    judged = service.get(f"/v1/jobs/{narrow['judging_job']}")["result"]["summary"]
    assert narrow["repaired_value"] == judged["repaired"]["metrics"][-1]["top1"]
    assert narrow["macs_share"] <= 0.3 < wide["macs_share"] <= 0.6
    assert narrow["is_pareto_macs"], "nothing is smaller"
    assert wide["metric"] == "top1"
    assert wide["split"] == "test"
    assert len(set(cache.glob("*/*")) - before) == 1, "the scores were measured once for all"
    picture = service.client.get(f"{url}/pareto.svg")
    assert picture.status_code == 200
    assert b"<svg" in picture.content


def test_unlabelled_images_suffice(service: Service) -> None:
    model = service.upload("models", trained_model_bytes(), name="trained")["id"]
    x, _ = images(600)
    dataset = service.upload("datasets", npz_bytes(x=x), filename="blind.npz")
    assert dataset["summary"]["labels"] == "none"
    config = {
        "selection": {"mode": "budget", "macs": 0.5, "round_to": 1},
        "retrain": {"epochs": 6, "batch_size": 32},
    }
    body = {"model": model, "dataset": str(dataset["id"]), "config": config}
    done = service.wait_for_job(service.post_job(**body))
    assert done["status"] == "succeeded", done["error"]
    summary = done["result"]["summary"]
    assert (summary["metric"], summary["objective"]) == ("agreement", "distill")
    before, after = (summary[name]["metrics"][0] for name in ("pruned", "retrained"))
    assert after["output_error"] < 0.5 * before["output_error"]
    assert after["agreement"] >= before["agreement"]


def test_every_artifact_has_the_sha256_that_the_manifest_lists(
    service: Service, job: dict[str, Any]
) -> None:
    manifest = json.loads(artifact(service, job, "manifest.json"))
    names = {item["name"] for item in job["result"]["artifacts"]}
    assert names == {*manifest["files"], "manifest.json"}
    assert {"pruned.pt2", "model.onnx", "weights.safetensors", "plan.json"} <= names
    for item in job["result"]["artifacts"]:
        if item["name"] != "manifest.json":
            assert manifest["files"][item["name"]]["sha256"] == item["sha256"]
    assert b"<svg" in artifact(service, job, "saliency_curves.svg")


def test_served_outputs_match_the_artifacts(
    service: Service, job: dict[str, Any], tmp_path: Path
) -> None:
    x = (images(20)[0][:, None] / 255).astype(np.float32)
    body = {"model": job["result"]["model"], "inputs": x.tolist()}
    outputs = service.client.post("/infer", json=body).json()["outputs"]
    (tmp_path / "model.onnx").write_bytes(artifact(service, job, "model.onnx"))
    session = ort.InferenceSession(tmp_path / "model.onnx")
    assert np.allclose(session.run(None, {"x": x})[0], outputs, atol=1e-5)
    (tmp_path / "pruned.pt2").write_bytes(artifact(service, job, "pruned.pt2"))
    program = torch.export.load(tmp_path / "pruned.pt2").module()
    with torch.no_grad():
        assert np.allclose(program(torch.from_numpy(x)).numpy(), outputs, atol=1e-4)
    (tmp_path / "weights.safetensors").write_bytes(artifact(service, job, "weights.safetensors"))
    weights = load_file(tmp_path / "weights.safetensors")
    dense = SmallNet(16).state_dict()
    assert weights.keys() == dense.keys()
    plan = json.loads(artifact(service, job, "plan.json"))
    assert plan["axes"]
    for axis in plan["axes"]:
        assert weights[axis["tensor"]].shape[axis["dim"]] == len(axis["kept"])


def test_an_image_returns_labels_from_the_pruned_and_the_dense_network(
    service: Service, job: dict[str, Any], model: str
) -> None:
    x, y = images(30)
    hits = 0
    for pixels, label in zip(x, y, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        files = {"file": ("a.png", buffer.getvalue())}
        answer = service.client.post(job["result"]["infer_url"], files=files).json()
        hits += answer["labels"][0][0]["label"] == str(label)
    assert hits > 25
    body = {"model": model, "inputs": np.zeros((2, 1, 8, 8)).tolist()}
    assert np.array(service.client.post("/infer", json=body).json()["outputs"]).shape == (2, 4)


def test_events_report_the_stages_in_order(service: Service, job: dict[str, Any]) -> None:
    events = service.get(f"/v1/jobs/{job['id']}/events?limit=500")
    stages = [e["data"]["stage"] for e in events if e["type"] == "stage.started"]
    expected = "intake saliency select prune repair retrain verify export package".split()
    assert stages == expected
    assert [e["number"] for e in events] == list(range(1, len(events) + 1))
    epochs = [e for e in events if e["type"] == "metric"]
    assert len(epochs) == 4
    assert events[-1]["type"] == "job.succeeded"


def test_the_same_job_gives_the_same_plan_and_weights(
    service: Service, job: dict[str, Any]
) -> None:
    body = {"model": job["model"], "dataset": job["dataset"], "config": job["config"]}
    again = service.wait_for_job(service.post_job(**body))
    assert int(again["result"]["version"]) > int(job["result"]["version"])
    for name in ("plan.json", "weights.safetensors", "model.onnx", "pruned.pt2"):
        assert artifact(service, again, name) == artifact(service, job, name), name


def test_masked_and_compact_retraining_agree(service: Service, model: str, dataset: str) -> None:
    reports = []
    for mode in ("compact", "masked"):
        config = {
            "selection": {"mode": "ratio", "ratio": 0.5, "round_to": 1},
            "retrain": {"mode": mode, "epochs": 1, "batch_size": 32, "precision": "float32"},
        }
        found = service.wait_for_job(service.post_job(model=model, dataset=dataset, config=config))
        assert found["status"] == "succeeded", found
        reports.append(json.loads(artifact(service, found, "report.json")))
    compact, masked = reports
    assert masked["equivalence"]["float64_max_relative_error"] <= 1e-9
    assert masked["retrained"]["macs"] == compact["retrained"]["macs"]
    losses = [r["history"][0]["train_loss"] for r in reports]
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)


def test_an_empty_config_works_and_so_does_the_loss_criterion(
    service: Service, model: str, dataset: str
) -> None:
    for config in (
        {},
        {"criterion": {"kind": "loss", "num_samples": 64}, "retrain": {"epochs": 0}},
    ):
        selection = {"min_channels": 2, "round_to": 2}
        body = {**config, "selection": selection} if config else config
        found = service.wait_for_job(service.post_job(model=model, dataset=dataset, config=body))
        assert found["status"] == "succeeded", found["error"]


def test_torch_compile_works_in_the_sandbox(service: Service, dataset: str) -> None:
    """torch.compile runs a C++ compiler, and only the job's own folders are writable.

    For every kernel: the network is as small as one can be that is pruned.
    """
    if shutil.which("g++") is None and "CI" not in os.environ:
        pytest.skip("there is no C++ compiler")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 8, 8), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4))
    buffer = io.BytesIO()
    torch.export.save(export(net.eval(), (torch.randn(2, 1, 8, 8),)), buffer)
    model = service.upload("models", buffer.getvalue())["id"]
    config = {
        "selection": {"min_channels": 2, "round_to": 2},
        "repair": {"kind": "none"},
        "retrain": {"epochs": 1, "compile": "always"},
        "sanity": {"action": "off"},
    }
    found = service.wait_for_job(service.post_job(model=model, dataset=dataset, config=config))
    assert found["status"] == "succeeded", found["error"]


def test_a_plan_matches_its_job_and_stores_nothing(
    service: Service, model: str, dataset: str, job: dict[str, Any]
) -> None:
    before = service.get("/v1/jobs")["data"]
    response = service.client.post(
        "/v1/jobs:plan",
        json={"model": model, "dataset": dataset, "config": job["config"]},
        timeout=DEADLINE_SECONDS,
    )
    assert response.status_code == 200, response.text
    found = response.json()
    summary = job["result"]["summary"]
    for network, name in (("dense", "dense"), ("pruned", "retrained")):
        assert found[network]["macs"] == summary[name]["macs"]
        assert found[network]["num_parameters"] == summary[name]["num_parameters"]
    plan = json.loads(artifact(service, job, "plan.json"))
    assert found["fingerprint"] == plan["fingerprint"]
    kept = {family["name"]: family["kept"] for family in plan["families"]}
    assert {group["name"]: group["kept"] for group in found["groups"]} == kept
    assert found["config"] == job["resolved"]
    assert service.get("/v1/jobs")["data"] == before


@pytest.mark.parametrize(
    ("config", "code", "text"),
    [
        ({"selection": {"mode": "budget", "macs": 0.001}}, "plan_impossible", "narrowest"),
        ({"selection": {"min_channels": 4096}}, "nothing_prunable", "min_channels 4096"),
        ({"selection": {"mode": "budget"}}, "invalid_input", "exactly one of"),
        ({"criterion": {"compare": True}}, "invalid_input", "needs a data set"),
        (
            {"schedule": {"kind": "iterative"}, "selection": {"mode": "ratio", "ratio": 0.5}},
            "invalid_input",
            "needs a data set",
        ),
        ({"selection": {"mode": "accuracy"}}, "invalid_input", "decides by retraining"),
    ],
    ids=["budget", "nothing", "no-budget", "no-data", "no-data-to-train", "search"],
)
def test_an_impossible_plan_is_a_problem(
    config: dict[str, Any], code: str, text: str, service: Service, model: str
) -> None:
    response = service.client.post(
        "/v1/jobs:plan", json={"model": model, "config": config}, timeout=DEADLINE_SECONDS
    )
    assert response.status_code == 422
    assert response.json()["code"] == code
    assert text in response.json()["detail"]


def test_a_model_can_be_weights_and_an_architecture(service: Service) -> None:
    torch.manual_seed(0)
    net = torchvision.models.squeezenet1_1(num_classes=4)
    data = save({name: tensor.contiguous() for name, tensor in net.state_dict().items()})
    options = {"architecture": "torchvision/squeezenet1_1", "image_size": "64"}
    wrong = service.upload("models", data, **options, num_classes="5")
    assert wrong["status"] == "rejected"
    assert "classifier.1.weight is (4, 512, 1, 1), not (5, 512, 1, 1)" in wrong["error"]["message"]
    found = service.upload("models", data, **options, num_classes="4")
    assert found["status"] == "ready", found
    assert (found["format"], found["architecture"]["num_classes"]) == ("safetensors", 4)
    config = {"selection": {"mode": "ratio", "ratio": 0.5}}
    job = service.wait_for_job(service.post_job(model=found["id"], config=config))
    assert job["status"] == "succeeded", job
    x = np.zeros((1, 3, 64, 64)).tolist()
    response = service.client.post(f"/v1/models/{found['id']}/infer", json={"inputs": x})
    assert response.status_code == 200, response.text


def test_an_onnx_file_is_pruned_and_keeps_its_names(service: Service, dataset: str) -> None:
    network = onnx.load_from_string(trained_onnx_bytes())
    give_names(network.graph, ["images:0"], ["scores/1"])
    onnx.helper.set_model_props(network, {"characters": "a\nb"})
    found = service.upload("models", network.SerializeToString(), filename="net.onnx")
    assert (found["status"], found["format"]) == ("ready", "onnx"), found
    assert [each["name"] for each in found["inputs"]] == ["images:0"]
    config = {"selection": {"mode": "ratio", "ratio": 0.5}, "retrain": {"epochs": 1}}
    posted = service.post_job(model=found["id"], dataset=dataset, config=config)
    job = service.wait_for_job(posted)
    assert job["status"] == "succeeded", job
    summary = job["result"]["summary"]
    assert summary["retrained"]["macs"] < 0.5 * summary["dense"]["macs"]
    pruned = onnx.load_from_string(artifact(service, job, "model.onnx"))
    assert [each.name for each in pruned.graph.input] == ["images:0"]
    assert [each.name for each in pruned.graph.output] == ["scores/1"]
    assert [(each.key, each.value) for each in pruned.metadata_props] == [("characters", "a\nb")]


def test_one_request_carries_model_data_and_config(service: Service) -> None:
    files = {
        "model": ("net.pt2", trained_model_bytes()),
        "dataset": ("classes.zip", folder_zip_bytes()),
    }
    config = {
        "selection": {"mode": "ratio", "ratio": 0.5},
        "retrain": {"epochs": 1, "batch_size": 8},
    }
    response = service.client.post("/v1/jobs", data={"config": json.dumps(config)}, files=files)
    assert response.status_code == 202, response.text
    found = service.wait_for_job(response.json()["id"])
    assert found["status"] == "succeeded", found
    assert service.get(f"/v1/models/{found['result']['model']}")["class_names"] == [
        "class_0", "class_1", "class_2", "class_3",
    ]  # fmt: skip


def test_the_example_client_runs_the_complete_workflow(service: Service, tmp_path: Path) -> None:
    x, y = images()
    (tmp_path / "model.pt2").write_bytes(trained_model_bytes())
    (tmp_path / "data.npz").write_bytes(npz_bytes(x=x, y=y))
    Image.fromarray(x[0]).save(tmp_path / "image.png")
    paths = [str(tmp_path / name) for name in ("model.pt2", "data.npz", "image.png")]
    done = subprocess.run(
        [sys.executable, "-m", "examples.client", *paths, "--url", service.url],
        env={**os.environ, "SECATEUR_KEY": service.key},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "succeeded" in done.stdout
    assert "Label(label='" in done.stdout.splitlines()[-1]


def test_invalid_files_are_rejected_with_reasons(service: Service, model: str) -> None:
    good = trained_model_bytes()
    assert service.client.post("/v1/models", content=b"\x80\x04pickle").status_code == 415
    rejected = service.upload("models", good[: len(good) // 2])
    assert (rejected["status"], rejected["error"]["code"]) == ("rejected", "model_rejected")
    assert "torch.export" in rejected["error"]["message"]
    x, y = images(50)
    bad = {
        "labels have shape": npz_bytes(x=x, y=y[:40]),
        "no array 'x'": npz_bytes(a=x),
        "objects are not accepted": npz_bytes(x=np.array([{}, []], dtype=object), y=y[:2]),
    }
    for words, data in bad.items():
        found = service.upload("datasets", data)
        assert found["status"] == "rejected", words
        assert words in found["error"]["message"]
    wrong = {
        "the network takes [1, 8, 8]": npz_bytes(x=np.zeros((50, 9, 9), np.uint8), y=y),
        "the network scores 4 classes": npz_bytes(x=x, y=y + 3),
    }
    for words, data in wrong.items():
        dataset = service.upload("datasets", data)
        found = service.wait_for_job(service.post_job(model=model, dataset=dataset["id"]))
        assert (found["status"], found["error"]["code"]) == ("failed", "data_error")
        assert words in found["error"]["message"]
    response = service.client.post("/v1/jobs", json={"model": rejected["id"]})
    assert response.status_code == 409
    assert service.get("/readyz")["status"] == "ok"


def test_intake_is_not_blocked_by_a_long_job(service: Service, model: str, dataset: str) -> None:
    config = {"retrain": {"epochs": 1000, "batch_size": 4}, "selection": {"round_to": 2}}
    job_id = service.post_job(model=model, dataset=dataset, config=config)
    service.wait(
        lambda: service.get(f"/v1/jobs/{job_id}"), lambda found: found["stage"] == "retrain"
    )
    assert service.upload("models", trained_model_bytes())["status"] == "ready"
    assert service.get(f"/v1/jobs/{job_id}")["status"] == "running"
    started = time.monotonic()
    assert service.client.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "cancelling"
    assert service.wait_for_job(job_id)["status"] == "cancelled"
    assert time.monotonic() - started < 30


def test_the_service_runs_on_postgresql_a_redis_url_and_a_bucket(
    tmp_path: Path, postgresql_server: str, redis_url: str, s3_server: S3Server
) -> None:
    settings = {
        "SECATEUR_DATABASE__URL": fresh_postgresql_url(postgresql_server),
        "SECATEUR_QUEUE__URL": redis_url,
        "SECATEUR_STORAGE__URL": f"s3://{s3_server.bucket}/e2e",
        "SECATEUR_STORAGE__ENDPOINT": s3_server.endpoint,
        "SECATEUR_STORAGE__REGION": "us-east-1",
        "SECATEUR_STORAGE__ACCESS_KEY_ID": "test",
        "SECATEUR_STORAGE__SECRET_ACCESS_KEY": "test",
    }
    with serving(tmp_path / "data", **settings) as ours:
        model = ours.upload("models", trained_model_bytes())
        assert model["status"] == "ready", model
        config = {"selection": {"mode": "ratio", "ratio": 0.5}}
        found = ours.wait_for_job(ours.post_job(model=model["id"], config=config))
        assert found["status"] == "succeeded", found
        assert json.loads(artifact(ours, found, "report.json"))["equivalence"]["is_exact"]
        body = {"inputs": np.zeros((1, 1, 8, 8)).tolist()}
        assert ours.client.post(found["result"]["infer_url"], json=body).is_success
        for name in ("secateur.db", "redis", "objects"):
            assert not (tmp_path / "data" / name).exists()


def test_a_stopped_service_resumes_its_jobs(service: Service, model: str, dataset: str) -> None:
    """It ends with the bytes of an undisturbed run; `tests/chaos` kills instead of stopping."""
    num_epochs = 16
    config = {
        "selection": {"mode": "ratio", "ratio": 0.5},
        "retrain": {"epochs": num_epochs, "batch_size": 8},
    }
    body = {"model": model, "dataset": dataset, "config": config}
    undisturbed = service.wait_for_job(service.post_job(**body))
    assert undisturbed["status"] == "succeeded", undisturbed
    job_id = service.post_job(**body)
    service.wait(lambda: service.get(f"/v1/jobs/{job_id}"), is_past_its_first_epochs)
    key = service.key
    assert service.stop(signal.SIGINT) == 0
    service.start()
    assert service.key == key
    found = service.wait_for_job(job_id)
    assert found["status"] == "succeeded", found
    epochs = [
        event["data"]["epoch"]
        for event in service.get(f"/v1/jobs/{job_id}/events?limit=500")
        if event["type"] == "metric"
    ]
    assert len(epochs) < 2 * num_epochs - 2, "it started over instead of resuming"
    for name in ("plan.json", "weights.safetensors", "model.onnx"):
        assert artifact(service, found, name) == artifact(service, undisturbed, name), name


def is_past_its_first_epochs(job: dict[str, Any]) -> bool:
    assert job["status"] not in FINAL, "it ended before it could be disturbed"
    progress = job["progress"] or {}
    return job["stage"] == "retrain" and progress.get("step", 0) > 3 * 80

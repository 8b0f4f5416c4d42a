"""Pause, resume and cancel a training job on a real service."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_service import artifact, images, npz_bytes, trained_model_bytes
from tests.fixtures.service import Service, serving

NUM_EPOCHS = 40
NAMES = ("plan.json", "weights.safetensors", "model.onnx", "pruned.pt2")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    settings = {
        "SECATEUR_WORKER__HEARTBEAT_SECONDS": "0.5",
        # Never by the clock: what is saved in the middle of an epoch is saved for the pause.
        "SECATEUR_WORKER__CHECKPOINT_SECONDS": "3600",
    }
    with serving(tmp_path_factory.mktemp("pausing") / "data", **settings) as running:
        yield running


@pytest.fixture(scope="module")
def body(service: Service) -> dict[str, Any]:
    x, y = images()
    return {
        "model": service.upload("models", trained_model_bytes())["id"],
        "dataset": service.upload("datasets", npz_bytes(x=x, y=y), filename="d.npz")["id"],
        "config": {
            "selection": {"mode": "budget", "macs": 0.5, "round_to": 1},
            "retrain": {
                "epochs": NUM_EPOCHS,
                "batch_size": 16,
                "optimizer": {"learning_rate": 0.02},
            },
        },
    }


def num_metrics(service: Service, job_id: str) -> int:
    events = service.get(f"/v1/jobs/{job_id}/events?limit=500")
    return sum(event["type"] == "metric" for event in events)


def wait_for_training(service: Service, job_id: str, num_epochs: int) -> None:
    """Wait until a job has trained a number of further epochs."""
    before = num_metrics(service, job_id)
    service.wait(
        lambda: {"metrics": num_metrics(service, job_id)},
        lambda found: found["metrics"] >= before + num_epochs,
    )


def test_a_paused_and_resumed_job_ends_with_the_same_bytes(
    service: Service, body: dict[str, Any]
) -> None:
    undisturbed = service.wait_for_job(service.post_job(**body))
    assert undisturbed["status"] == "succeeded", undisturbed["error"]
    job_id = service.post_job(**body)
    for num_epochs in (2, 5):
        wait_for_training(service, job_id, num_epochs)
        assert service.client.post(f"/v1/jobs/{job_id}/pause").json()["status"] == "pausing"
        paused = service.wait(
            lambda: service.get(f"/v1/jobs/{job_id}"), lambda job: job["status"] != "pausing"
        )
        assert (paused["status"], paused["attempt"]) == ("paused", 0)
        assert service.client.post(f"/v1/jobs/{job_id}/resume").json()["status"] == "queued"
    job = service.wait_for_job(job_id)
    assert (job["status"], job["attempt"]) == ("succeeded", 1)
    epochs = [
        e["data"]["epoch"]
        for e in service.get(f"/v1/jobs/{job_id}/events?limit=500")
        if e["type"] == "metric" and e["data"].get("kind") == "epoch"
    ]
    assert epochs == list(range(1, NUM_EPOCHS + 1)), "no epoch was trained twice"
    for name in NAMES:
        assert artifact(service, job, name) == artifact(service, undisturbed, name), name


def test_a_cancelled_job_leaves_no_files(service: Service, body: dict[str, Any]) -> None:
    job_id = service.post_job(**body)
    wait_for_training(service, job_id, 1)
    service.client.post(f"/v1/jobs/{job_id}/cancel")
    assert service.wait_for_job(job_id)["status"] == "cancelled"
    home = Path(service.folder) / "scratch" / "jobs" / job_id
    service.wait(lambda: {"is_there": home.exists()}, lambda found: not found["is_there"])

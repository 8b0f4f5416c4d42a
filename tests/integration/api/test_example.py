"""The example: a first job without files of one's own."""

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime

from app.example.shapes import CLASSES, NETWORK, dataset, draw
from app.records.tables import DatasetRow, ModelRow
from tests.fixtures.api import running_api

# Images that differ from those that the network was trained on: train it again.
_IMAGES_SHA256 = "da71a5fb5b39edee5bf7f708fb0b94ffcff3968f3b26707f901f35390996db49"


def test_the_network_knows_the_images() -> None:
    x, y = draw()
    assert hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest() == _IMAGES_SHA256
    assert set(y) == set(range(len(CLASSES)))
    session = onnxruntime.InferenceSession(str(NETWORK))
    name = session.get_inputs()[0].name
    inputs = x[-600:, None].astype(np.float32) / 255
    (scores,) = session.run(None, {name: inputs})
    assert (np.asarray(scores).argmax(1) == y[-600:]).mean() > 0.97
    assert NETWORK.stat().st_size < 200_000
    assert dataset() == dataset()


def test_the_example_is_posted_with_its_files_stored_once(tmp_path: Path) -> None:
    with running_api(tmp_path / "data") as api:
        headers = {"Idempotency-Key": "a"}
        first = api.client.post("/v1/example", headers=headers)
        assert first.status_code == 202, first.text
        job = first.json()
        assert (job["name"], job["goal"], job["tags"]) == ("Example", "balanced", ["example"])
        assert job["status"] == "validating"
        assert api.client.post("/v1/example", headers=headers).json()["id"] == job["id"]
        second = api.client.post("/v1/example").json()
        assert second["id"] != job["id"]
        assert (second["model"], second["dataset"]) == (job["model"], job["dataset"])
        with api.sessions() as session:
            model = session.get_one(ModelRow, job["model"])
            data = session.get_one(DatasetRow, job["dataset"])
        assert api.store.has(model.sha256)
        assert api.store.has(data.sha256)
        assert data.preprocess["preset"] == "unit"
        assert list((api.context.settings.scratch_dir / "uploads").iterdir()) == []
        other = api.client.post("/v1/example", headers=api.other_tenant()).json()
        assert other["model"] != job["model"]
        with api.sessions.begin() as session:
            session.get_one(ModelRow, job["model"]).deleted_at = 1.0
        assert api.client.post("/v1/example").json()["model"] != job["model"]

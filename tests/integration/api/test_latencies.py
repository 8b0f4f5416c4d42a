"""Latencies of users' devices: measured, uploaded, named in a config, deleted."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.records.references import find_referenced
from app.records.tables import JobRow, LatenciesRow, ModelRow
from app.records.usage import count_bytes
from tests.fixtures.api import Api, running_api, write_linear_onnx, zip_bytes
from tests.fixtures.latencies import BENCH, as_csv, latency_rows

BUDGET = {"mode": "budget", "latency": 0.4, "round_to": "auto"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("latencies")
    limits = {"latencies_bytes": 100_000, "latencies_rows": 50}
    with running_api(folder / "data", limits=limits) as found:
        yield found


@pytest.fixture(scope="module")
def model(api: Api, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    write_linear_onnx(path, np.eye(2), ["batch", 2])
    return api.ready_model(path, name="camera", report={"macs": 1, "bench": BENCH})


def push(api: Api, data: bytes, status: int = 201, name: str = "board") -> Any:
    response = api.client.post(f"/v1/latencies?name={name}", content=data)
    assert response.status_code == status, response.text
    return response.json()


def start(api: Api, model: str, status: int = 202, **selection: Any) -> Any:
    body = {"model": model, "config": {"selection": {**BUDGET, **selection}}}
    response = api.client.post("/v1/jobs", json=body)
    assert response.status_code == status, response.text
    return response.json()


def test_what_a_device_needs_can_be_downloaded(api: Api, model: str) -> None:
    script = api.client.get("/v1/secateur_bench.py", headers={"Authorization": ""})
    assert script.status_code == 200
    ast.parse(script.text)
    bench = api.client.get("/v1/models/camera/bench")
    assert bench.json() == {"model": model, "name": "camera", **BENCH}
    assert 'filename="camera.bench"' in bench.headers["content-disposition"]
    onnx = api.client.get(f"/v1/models/{model}/onnx")
    with api.sessions() as session:
        sha256 = session.get_one(ModelRow, model).onnx_sha256
    assert onnx.headers["etag"] == f'"sha256-{sha256}"'
    assert len(onnx.content) > 100


def test_a_model_of_an_earlier_version_says_what_to_do(api: Api) -> None:
    old = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    api.finish_intake(api.queue.rings[-1][0], {"macs": 1, "bench": {"layers": "odd"}}, None)
    for path, reason in (("bench", "upload its file again"), ("onnx", "there is no ONNX file")):
        response = api.client.get(f"/v1/models/{old}/{path}")
        assert response.status_code == 409
        assert reason in response.text


def test_an_upload_is_shown_listed_and_counted(api: Api, model: str) -> None:
    with api.sessions() as session:
        before = count_bytes(session, "default")
    data = as_csv(latency_rows(BENCH, model, network=0.5))
    found = push(api, data, name="pi-4")
    assert found["id"].startswith("lat_")
    expected = {"device": "board", "runtime": "onnxruntime", "num_threads": 4, "num_rows": 3}
    assert expected.items() <= found.items()
    assert found["network_seconds"] == 0.5
    assert api.client.get("/v1/latencies/pi-4").json() == found
    assert found in api.client.get("/v1/latencies?search=PI").json()["data"]
    with api.sessions() as session:
        assert count_bytes(session, "default") == before + len(data)
        assert find_referenced(session, [found["sha256"]]) == {found["sha256"]}


def test_a_form_is_accepted_as_for_other_uploads(api: Api, model: str) -> None:
    files = {"file": ("nano.csv", as_csv(latency_rows(BENCH, model)), "text/csv")}
    response = api.client.post("/v1/latencies", files=files)
    assert response.status_code == 201, response.text
    assert response.json()["name"] == "nano"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"median_seconds": "nan"}, "row 2: median_seconds is 'nan'"),
        ({"bench": "f" * 16}, "row 2: bench is 'ffffffffffffffff'"),
        ({"kernel": "5x5"}, "row 2: model 'camera' has no 5x5 conv"),
    ],
)
def test_a_wrong_row_is_refused(api: Api, model: str, change: dict[str, str], reason: str) -> None:
    data = as_csv([{**row, **change} for row in latency_rows(BENCH, model)])
    assert reason in push(api, data, 422)["detail"]


def test_missing_widths_and_too_many_rows_are_refused(api: Api, model: str) -> None:
    rows = latency_rows(BENCH, model)
    assert "the fp32 row of 3x3 conv" in push(api, as_csv(rows[:-1]), 422)["detail"]
    wide = [{**rows[0], "in_channels": str(number)} for number in range(1, 60)]
    assert "more than 50 rows" in push(api, as_csv(wide), 422)["detail"]
    push(api, as_csv(rows) + b" " * 300_000, 413)


def test_another_tenants_model_is_not_found(api: Api, model: str) -> None:
    data = as_csv(latency_rows(BENCH, model))
    response = api.client.post("/v1/latencies", content=data, headers=api.other_tenant())
    assert response.status_code == 404
    assert "row 2: there is no model" in response.json()["detail"]


def test_a_job_names_its_target_by_name_and_keeps_the_id(api: Api, model: str) -> None:
    found = push(api, as_csv(latency_rows(BENCH, model)), name="desk")
    job = start(api, model, target="desk")
    with api.sessions() as session:
        resolved = session.get_one(JobRow, job["id"]).resolved
    assert resolved is not None
    assert resolved["selection"]["target"] == found["id"]
    refused = api.client.delete(f"/v1/latencies/{found['id']}")
    assert refused.status_code == 409
    assert job["id"] in refused.text
    api.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert api.client.delete(f"/v1/latencies/{found['id']}").status_code == 204
    assert "was deleted" in start(api, model, 404, target=found["id"])["detail"]
    assert api.client.post(f"/v1/latencies/{found['id']}/restore").json() == found
    start(api, model, target=found["id"])


@pytest.mark.parametrize(
    ("selection", "reason"),
    [
        ({"precision": "int8"}, "they have no int8 rows"),
        ({"batch_size": 8}, "measured with batch size 1, and selection.batch_size is 8"),
    ],
)
def test_a_target_that_does_not_fit_is_refused_at_once(
    api: Api, model: str, selection: dict[str, Any], reason: str
) -> None:
    found = push(api, as_csv(latency_rows(BENCH, model)))
    problem = start(api, model, 422, target=found["id"], **selection)
    assert reason in problem["detail"]
    assert problem["errors"][0]["pointer"] == "/config/selection/target"
    plan = {"model": model, "config": {"selection": {**BUDGET, "target": found["id"], **selection}}}
    assert api.client.post("/v1/jobs:plan", json=plan).status_code == 422


def test_a_target_of_another_model_or_tenant_is_refused(
    api: Api, model: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    write_linear_onnx(path, np.eye(2), ["batch", 2])
    other = {**BENCH, "id": "f" * 16}
    wider = api.ready_model(path, name="wider", report={"macs": 1, "bench": other})
    found = push(api, as_csv(latency_rows(BENCH, model)))
    assert (
        "are of another model than 'wider'" in start(api, wider, 422, target=found["id"])["detail"]
    )
    with api.sessions.begin() as session:
        session.get_one(LatenciesRow, found["id"]).tenant = "other"
    start(api, model, 404, target=found["id"])


def test_a_failed_job_is_not_tried_again_without_its_target(api: Api, model: str) -> None:
    found = push(api, as_csv(latency_rows(BENCH, model)))
    job = start(api, model, target=found["id"])
    with api.sessions.begin() as session:
        session.get_one(JobRow, job["id"]).state = "failed"
    assert api.client.delete(f"/v1/latencies/{found['id']}").status_code == 204
    assert api.client.post(f"/v1/jobs/{job['id']}/retry").status_code == 404


def test_a_sweep_checks_the_target_of_its_jobs(api: Api, model: str) -> None:
    body = {
        "model": model,
        "config": {"selection": {**BUDGET, "target": "nobody"}},
        "grid": {"/selection/latency": [0.4, 0.5]},
    }
    response = api.client.post("/v1/sweeps", content=json.dumps(body))
    assert response.status_code == 404
    assert "there is no file of latencies 'nobody'" in response.text

"""Sweeps over HTTP: all jobs or none, a derived status, a table and a picture."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from app.contracts.job import FailureCode, Stage
from app.records import leases
from app.records.outcomes import Outcome, StoredFile
from app.records.tables import ModelRow
from tests.fixtures.api import Api, running_api, write_linear_onnx
from tests.fixtures.latencies import BENCH, as_csv, latency_rows
from tests.fixtures.service import npz_bytes

GRID = {"/selection/macs": [0.5, 0.25], "/criterion/kind": ["l1", "l2"]}
CONFIG = {"selection": {"mode": "budget", "macs": 0.9}}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path / "data") as found:
        yield found


@pytest.fixture
def model(api: Api, tmp_path: Path) -> str:
    write_linear_onnx(tmp_path / "m.onnx", np.ones((4, 2), np.float32), ["batch", 4])
    return api.ready_model(tmp_path / "m.onnx")


def post(api: Api, model: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
    sent = {"model": model, "config": CONFIG, "grid": GRID, **body}
    return api.client.post("/v1/sweeps", json=sent, headers=headers or {})


def network(top1: float, macs: int, seconds: float) -> dict[str, Any]:
    scores = [
        {"split": split, "runtime": runtime, "top1": top1 + shift}
        for split, runtime, shift in (
            ("validation", "torch", 0.5), ("test", "torch", 0.0), ("test", "onnxruntime", 0.9),
        )
    ]  # fmt: skip
    latency = [{"batch_size": n, "p50": seconds * n} for n in (8, 1)]
    return {
        "metrics": scores, "macs": macs, "num_parameters": macs // 10, "latency_seconds": latency,
    }  # fmt: skip


def finish(api: Api, job_id: str, top1: float, macs: int, seconds: float) -> None:
    """Do what a worker does at the end of a pruning job."""
    path = api.context.settings.data_dir / "model.onnx"
    path.write_bytes(job_id.encode())
    sha256 = api.store.put_file(path)
    file = StoredFile("model.onnx", "application/octet-stream", sha256, path.stat().st_size)
    summary = {
        "dense": network(0.9, 1000, 1.0), "retrained": network(top1, macs, seconds),
        "metric": "top1",
    }  # fmt: skip
    with api.sessions.begin() as session:
        held = leases.claim(session, job_id=job_id, owner="test", lease_seconds=30)
        assert held is not None
        outcome = Outcome({"summary": summary}, {}, (file,), "model.onnx", None)
        assert leases.finish(session, held, outcome)


def fail(api: Api, job_id: str) -> None:
    with api.sessions.begin() as session:
        held = leases.claim(session, job_id=job_id, owner="test", lease_seconds=30)
        assert held is not None
        leases.fail(session, held, FailureCode.PLAN_IMPOSSIBLE, "no", Stage.SELECT)


def read(api: Api, sweep: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = api.client.get(sweep["urls"]["self"]).json()
    return found


def test_a_grid_becomes_jobs_in_its_order_and_each_is_rung_for(api: Api, model: str) -> None:
    before = len(api.queue.rings)
    response = post(api, model)
    assert response.status_code == 202, response.text
    sweep = response.json()
    assert response.headers["location"] == f"/v1/sweeps/{sweep['id']}"
    assert (sweep["status"], sweep["counts"]) == ("running", {"queued": 4})
    table = read(api, sweep)["table"]
    assert [tuple(row["point"].values()) for row in table] == [
        (0.5, "l1"), (0.5, "l2"), (0.25, "l1"), (0.25, "l2"),
    ]  # fmt: skip
    assert [job for job, _ in api.queue.rings[before:]] == [row["job"] for row in table]
    job = api.client.get(f"/v1/jobs/{table[3]['job']}").json()
    assert job["sweep"] == sweep["id"]
    assert job["resolved"]["selection"]["macs"] == 0.25
    assert job["resolved"]["criterion"]["kind"] == "l2"


def test_one_bad_point_and_nothing_is_made(api: Api, model: str) -> None:
    before = len(api.queue.rings)
    response = post(api, model, grid={"/selection/macs": [0.5, 7]})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/config/selection/macs"
    needs_data = post(api, model, grid={"/criterion/kind": ["l1", "taylor"]})
    assert needs_data.status_code == 422
    assert "needs a data set" in needs_data.json()["detail"]
    assert needs_data.json()["errors"][1]["pointer"] == "/grid/~1criterion~1kind/1"
    assert api.client.get("/v1/sweeps").json()["data"] == []
    assert api.client.get("/v1/jobs").json()["data"] == []
    assert len(api.queue.rings) == before


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        '{"grid": {"/seed": [1]}}',
        '{"model": "m", "grid": {"/seed": [1]}, "metadata": {"a": "\\ud800"}}',
        '{"model": "m", "grid": {"/selection/exclude": [["\\ud800"]]}}',
        '{"model": "m", "grid": {"/retrain/optimizer/clip_norm": [Infinity]}}',
        '{"model": "m", "grid": {"/retrain/optimizer/clip_norm": [1e999]}}',
        '{"model": "m", "grid": {"/seed": [%s]}}' % ("[" * 900 + "]" * 900),
        '{"model": "m", "config": %s, "grid": {"/seed": [1]}}' % ('{"a":' * 900 + "1" + "}" * 900),
    ],
)
def test_an_invalid_sweep_is_refused(text: str, api: Api) -> None:
    json_type = {"Content-Type": "application/json"}
    response = api.client.post("/v1/sweeps", content=text, headers=json_type)
    assert response.status_code == 422
    assert response.json()["code"] in {"invalid_input", "json_too_deep"}


def test_the_same_key_twice_makes_one_sweep(api: Api, model: str) -> None:
    headers = {"Idempotency-Key": "once"}
    first, second = post(api, model, headers), post(api, model, headers)
    assert first.json() == second.json()
    assert len(api.client.get("/v1/jobs").json()["data"]) == 4
    other = post(api, model, headers, grid={"/seed": [1]})
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_key_reused"


def test_the_table_marks_the_points_that_no_other_dominates(api: Api, model: str) -> None:
    sweep = post(api, model).json()
    jobs = [row["job"] for row in read(api, sweep)["table"]]
    assert api.client.get(sweep["urls"]["picture"]).status_code == 409
    finish(api, jobs[0], 0.88, 500, 0.9)
    finish(api, jobs[1], 0.87, 490, 0.5)
    finish(api, jobs[2], 0.80, 250, 0.6)
    response = api.client.get(sweep["urls"]["self"])
    assert response.json()["status"] == "running"
    assert "retry-after" in response.headers
    fail(api, jobs[3])
    found = read(api, sweep)
    assert (found["status"], found["counts"]) == ("partial", {"succeeded": 3, "failed": 1})
    assert [row["value"] for row in found["table"]] == [0.88, 0.87, 0.80, None], "torch, test"
    assert [row["is_pareto_macs"] for row in found["table"]] == [True, True, True, False]
    assert [row["is_pareto_latency"] for row in found["table"]] == [True, True, False, False]
    assert found["table"][3]["error"] == "plan_impossible"
    assert found["table"][0]["latency_share"] == pytest.approx(0.9)
    assert found["table"][1]["macs_share"] == pytest.approx(0.49)
    again = api.client.get(sweep["urls"]["self"])
    cached = {"If-None-Match": again.headers["etag"]}
    assert api.client.get(sweep["urls"]["self"], headers=cached).status_code == 304


def test_the_picture_is_svg_and_the_same_bytes_every_time(api: Api, model: str) -> None:
    sweep = post(api, model).json()
    for number, row in enumerate(read(api, sweep)["table"][:3]):
        finish(api, row["job"], 0.8 + number / 100, 500 - number * 100, 0.5)
    first = api.client.get(sweep["urls"]["picture"])
    assert first.headers["content-type"] == "image/svg+xml"
    root = ET.fromstring(first.content)  # noqa: S314  # our own bytes
    texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "0.5, l1" in texts
    assert any("share of dense" in text for text in texts)
    assert api.client.get(sweep["urls"]["picture"]).content == first.content
    cached = {"If-None-Match": first.headers["etag"]}
    assert api.client.get(sweep["urls"]["picture"], headers=cached).status_code == 304


def test_globs_are_drawn_literally(api: Api, model: str) -> None:
    globs = ["$\\bad$", "<b>&", "long" * 20]
    sweep = post(api, model, config={}, grid={"/selection/exclude": [[g] for g in globs]}).json()
    for row in read(api, sweep)["table"]:
        finish(api, row["job"], 0.8, 500, 0.5)
    response = api.client.get(sweep["urls"]["picture"])
    assert response.status_code == 200
    shown = "".join(ET.fromstring(response.content).itertext())  # noqa: S314  # our own bytes
    assert "<b>&" in shown
    assert "long" * 7 not in shown


def test_cancelling_a_sweep_cancels_its_unfinished_jobs(api: Api, model: str) -> None:
    sweep = post(api, model).json()
    finish(api, read(api, sweep)["table"][0]["job"], 0.8, 500, 0.5)
    found = api.client.post(sweep["urls"]["cancel"]).json()
    assert found["counts"] == {"succeeded": 1, "cancelled": 3}
    assert found["status"] == "partial"
    other = post(api, model).json()
    assert api.client.post(other["urls"]["cancel"]).json()["status"] == "cancelled"


def test_lists_are_paged_and_other_tenants_see_nothing(api: Api, model: str) -> None:
    ids = [post(api, model).json()["id"] for _ in range(3)]
    page = api.client.get("/v1/sweeps?limit=2").json()
    assert page["has_more"]
    rest = api.client.get(f"/v1/sweeps?limit=2&after={page['next_after']}").json()
    assert {s["id"] for s in page["data"] + rest["data"]} == set(ids)
    assert page["data"][0]["counts"] == {"queued": 4}
    stranger = api.other_tenant()
    assert api.client.get("/v1/sweeps", headers=stranger).json()["data"] == []
    for method, path in (
        ("GET", f"/v1/sweeps/{ids[0]}"),
        ("GET", f"/v1/sweeps/{ids[0]}/pareto.svg"),
        ("POST", f"/v1/sweeps/{ids[0]}/cancel"),
    ):
        assert api.client.request(method, path, headers=stranger).status_code == 404
    assert post(api, model, stranger).status_code == 404, "the model is not theirs"


def test_a_sweep_with_data_judges_first_and_shows_which_quality_is_which(
    api: Api, model: str
) -> None:
    pushed = api.client.post("/v1/datasets?name=d", content=npz_bytes(x=np.zeros((8, 4))))
    data = pushed.json()["id"]
    api.finish_intake(api.queue.rings[-1][0], {}, None)
    sweep = post(api, model, dataset=data, grid={"/selection/macs": [0.5, 0.25]}).json()
    detail = read(api, sweep)
    assert detail["train"] == "front"
    first, last = (row["job"] for row in detail["table"])
    job = api.client.get(f"/v1/jobs/{first}").json()
    assert job["resolved"]["retrain"]["epochs"] == 0
    assert any("before training" in str(warning) for warning in job["warnings"])
    finish(api, first, 0.6, 500, 0.5)
    finish(api, last, 0.7, 250, 0.5)
    detail = read(api, sweep)
    assert (detail["status"], detail["counts"]) == ("running", {"succeeded": 2, "queued": 1})
    beaten, best = detail["table"]
    assert (beaten["job"], beaten["is_trained"], beaten["value"]) == (first, False, 0.6)
    assert (best["judging_job"], best["status"], best["value"]) == (last, "queued", 0.7)
    finish(api, best["job"], 0.9, 250, 0.5)
    detail = read(api, sweep)
    assert (detail["status"], detail["table"][1]["is_trained"]) == ("succeeded", True)
    assert post(api, model, dataset=data, train="all").json()["counts"] == {"queued": 4}
    refused = post(api, model, train="front")
    assert refused.status_code == 422
    assert "no data set" in refused.json()["detail"]


def test_the_best_points_are_trained_for_the_same_device(api: Api, model: str) -> None:
    """The config names the latencies; jobs keep their id."""
    with api.sessions.begin() as session:
        session.get_one(ModelRow, model).report = {"macs": 1, "bench": BENCH}
    table = as_csv(latency_rows(BENCH, model))
    target = api.client.post("/v1/latencies?name=board", content=table).json()["id"]
    pushed = api.client.post("/v1/datasets?name=d", content=npz_bytes(x=np.zeros((8, 4))))
    api.finish_intake(api.queue.rings[-1][0], {}, None)
    config = {"selection": {"mode": "budget", "latency": 0.9, "target": "board"}}
    grid = {"/selection/latency": [0.5, 0.25]}
    data = pushed.json()["id"]
    sweep = post(api, model, dataset=data, config=config, grid=grid).json()
    for row, macs in zip(read(api, sweep)["table"], (500, 250), strict=True):
        finish(api, row["job"], 0.7, macs, 0.5)
    best = read(api, sweep)["table"][1]
    assert best["status"] == "queued"
    trained = api.client.get(f"/v1/jobs/{best['job']}").json()["resolved"]
    assert trained["retrain"]["epochs"] != 0
    assert trained["selection"]["target"] == target

"""Models, data sets, jobs and artifacts over HTTP, on the real app."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from app.contracts.ids import new_id
from app.contracts.spec import NO_PREPROCESS
from app.contracts.tasks import QUEUE_CPU, QUEUE_INTAKE
from app.inference.supervisor import Supervisor
from app.keys.service import create_key
from app.records import jobs, workers
from app.records.tables import ArtifactRow, JobRow
from app.records.workers import WorkerIdentity
from tests.fixtures.api import Api, running_api, write_linear_onnx, zip_bytes

NPZ = zip_bytes(b"x.npy")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path / "data") as found:
        yield found


def problem(response: object) -> dict[str, object]:
    assert response.headers["content-type"] == "application/problem+json"  # type: ignore[attr-defined]
    body: dict[str, object] = response.json()  # type: ignore[attr-defined]
    assert {"type", "title", "status", "detail", "instance", "code", "request_id"} <= body.keys()
    assert body["status"] == response.status_code  # type: ignore[attr-defined]
    return body


def post_job(api: Api, **body: object) -> dict[str, object]:
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    response = api.client.post("/v1/jobs", json={"model": model, **body})
    assert response.status_code == 202, response.text
    found: dict[str, object] = response.json()
    return found


def test_a_target_that_is_not_installed_is_refused_with_its_extra(api: Api) -> None:
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    body = {"model": model, "config": {"export": {"targets": ["litert"]}}}
    with api.context.sessions.begin() as session:
        workers.report(session, WorkerIdentity("host:1", ("cpu",), "cpu", 1, targets=("ncnn",)))
    found = problem(api.client.post("/v1/jobs", json=body))
    assert (found["status"], found["code"]) == (409, "no_worker")
    assert "pip install 'secateur[litert]'" in str(found["detail"])
    body["config"] = {"export": {"targets": ["ncnn", "hailo"], "opset": 11}}
    assert api.client.post("/v1/jobs", json=body).status_code == 202
    body["config"] = {"export": {"opset": 10}}
    assert problem(api.client.post("/v1/jobs", json=body))["status"] == 422


def test_a_model_is_uploaded_stored_and_sent_to_intake(api: Api) -> None:
    data = zip_bytes()
    response = api.client.post("/v1/models?filename=net.pt2", content=data)
    assert response.status_code == 201
    body = response.json()
    assert (body["status"], body["name"], body["version"]) == ("validating", "net", "1")
    assert body["sha256"] == hashlib.sha256(data).hexdigest()
    assert b"".join(api.store.stream(body["sha256"])) == data
    assert [queue for _, queue in api.queue.rings] == [QUEUE_INTAKE]
    assert response.headers["location"] == f"/v1/models/{body['id']}"
    assert api.client.get(response.headers["location"]).json() == body
    assert api.client.get("/v1/jobs").json()["data"] == []  # intake is not a user's job
    assert list((api.context.settings.scratch_dir / "uploads").iterdir()) == []


def test_a_form_works_as_well_as_a_raw_body(api: Api) -> None:
    files = {"file": ("net.pt2", zip_bytes())}
    assert api.client.post("/v1/models", files=files).json()["name"] == "net"
    files = {"file": ("data.npz", NPZ)}
    assert api.client.post("/v1/datasets", files=files).json()["format"] == "npz"


@pytest.mark.parametrize(
    ("path", "data", "status", "words"),
    [
        ("/v1/models", b"", 422, "empty"),
        ("/v1/models", b"\x80\x04pickle", 415, "torch.export.export"),
        ("/v1/models", b"garbage", 415, "torch.export.export"),
        ("/v1/datasets", b"garbage", 415, "npz"),
        ("/v1/datasets?preprocess={bad", NPZ, 422, "preprocess"),
        ('/v1/datasets?preprocess={"std":[0]}', NPZ, 422, "above 0"),
    ],
)
def test_a_bad_upload_is_refused_with_a_reason(
    path: str, data: bytes, status: int, words: str, api: Api
) -> None:
    response = api.client.post(path, content=data)
    assert response.status_code == status
    assert words in str(problem(response)["detail"])
    assert api.queue.rings == []
    assert api.client.get(path.partition("?")[0]).json()["data"] == []


def test_an_upload_past_its_limit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with running_api(tmp_path / "small", limits={"model_bytes": 1000}) as api:
        assert api.client.post("/v1/models", content=zip_bytes()).status_code == 201
        response = api.client.post("/v1/models", content=zip_bytes() + bytes(1001))
        assert response.status_code == 413
        assert "1000" in str(problem(response)["detail"])
        chunks = (bytes(1000) for _ in range(100))  # no Content-Length: counted on the way
        assert api.client.post("/v1/models", content=chunks).status_code == 413
        assert list((api.context.settings.scratch_dir / "uploads").iterdir()) == []


def test_weights_and_an_architecture_belong_together(api: Api) -> None:
    weights = (16).to_bytes(8, "little") + b'{"a": {}}       '
    response = api.client.post("/v1/models", content=weights)
    assert (response.status_code, problem(response)["code"]) == (422, "invalid_input")
    params = {"architecture": "torchvision/resnet18", "num_classes": 7}
    response = api.client.post("/v1/models", content=zip_bytes(), params=params)
    assert response.status_code == 422
    response = api.client.post("/v1/models", content=weights, params=params)
    assert response.status_code == 201
    assert response.json()["architecture"] == {
        "name": "torchvision/resnet18", "num_classes": 7, "in_channels": 3, "image_size": 224,
    }  # fmt: skip
    for name in ("os/system", "timm/hf-hub:a", "timm/../a", "resnet18"):
        response = api.client.post("/v1/models", content=weights, params={"architecture": name})
        assert response.status_code == 422


def test_a_plan_that_no_worker_takes_is_given_up_and_forgotten(api: Api, tmp_path: Path) -> None:
    write_linear_onnx(tmp_path / "m.onnx", __import__("numpy").eye(2), ["batch", 2])
    model = api.ready_model(tmp_path / "m.onnx")
    response = api.client.post("/v1/jobs:plan?wait=0.3", json={"model": model})
    assert (response.status_code, problem(response)["code"]) == (503, "unavailable")
    job_id, queue = api.queue.rings[-1]
    assert queue == QUEUE_INTAKE
    with api.sessions.begin() as session:
        assert session.get_one(JobRow, job_id).state == "cancelled"
        jobs.forget_plans(session)
        assert session.get(JobRow, job_id) is None
    assert api.client.get(f"/v1/jobs/{job_id}").status_code == 404


def test_content_digest_is_checked(api: Api) -> None:
    data = zip_bytes()
    right = base64.b64encode(hashlib.sha256(data).digest()).decode()
    wrong = base64.b64encode(hashlib.sha256(b"").digest()).decode()
    for digest, status in ((right, 201), (wrong, 422)):
        headers = {"Content-Digest": f"sha-256=:{digest}:"}
        response = api.client.post("/v1/models", content=data, headers=headers)
        assert response.status_code == status


def test_an_empty_config_is_a_good_config(api: Api) -> None:
    job = post_job(api)
    assert job["status"] == "validating"  # its model is
    assert job["config"] == {}
    assert job["resolved"]["selection"]["mode"] == "steepness"  # type: ignore[index]
    assert "not retrained" in job["warnings"][0]  # type: ignore[index]


def test_a_job_is_queued_when_intake_is_done(api: Api, tmp_path: Path) -> None:
    write_linear_onnx(tmp_path / "m.onnx", __import__("numpy").eye(2), ["batch", 2])
    model = api.ready_model(tmp_path / "m.onnx")
    dataset = api.client.post("/v1/datasets", content=NPZ).json()["id"]
    job = api.client.post("/v1/jobs", json={"model": model, "dataset": dataset}).json()
    assert job["status"] == "validating"
    api.finish_intake(api.queue.rings[-1][0], {"num_samples": 3}, None)
    response = api.client.get(f"/v1/jobs/{job['id']}")
    assert response.status_code == 200, response.text
    job = response.json()
    assert (job["status"], job["queue_position"]) == ("queued", 0)
    response = api.client.post("/v1/jobs", json={"model": model, "dataset": dataset})
    assert response.json()["queue_position"] == 1
    assert api.queue.rings[-1] == (response.json()["id"], QUEUE_CPU)


def test_a_job_is_paused_and_resumed(api: Api, tmp_path: Path) -> None:
    write_linear_onnx(tmp_path / "m.onnx", __import__("numpy").eye(2), ["batch", 2])
    job_id = api.client.post("/v1/jobs", json={"model": api.ready_model(tmp_path / "m.onnx")})
    url = f"/v1/jobs/{job_id.json()['id']}"
    assert api.client.post(f"{url}/resume").status_code == 409
    paused = api.client.post(f"{url}/pause").json()
    assert (paused["status"], paused["queue_position"]) == ("paused", None)
    assert paused["paused_at"] is not None
    num_rings = len(api.queue.rings)
    assert api.client.post(f"{url}/resume").json()["status"] == "queued"
    assert len(api.queue.rings) == num_rings + 1
    for verb in ("pause", "resume"):
        response = api.client.post(f"{url}/{verb}", headers=api.other_tenant())
        assert response.status_code == 404


def test_deadlines_limits_and_attempts_are_the_jobs_own(api: Api) -> None:
    limits = {"start_within_seconds": 60, "time_limit_seconds": 120, "max_attempts": 2}
    job = post_job(api, **limits)
    assert (job["time_limit_seconds"], job["max_attempts"]) == (120, 2)
    assert job["expires_at"] > job["created_at"]  # type: ignore[operator]
    body = {"model": job["model"], "time_limit_seconds": 1e9}
    response = api.client.post("/v1/jobs", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/time_limit_seconds"
    assert "86400" in response.json()["detail"]


def test_model_data_and_config_in_one_request(api: Api) -> None:
    form = {"config": '{"seed": 7}', "preprocess": '{"mean": [0.5]}'}
    files = {"model": ("net.pt2", zip_bytes()), "dataset": ("d.npz", NPZ)}
    response = api.client.post("/v1/jobs", data=form, files=files)
    assert response.status_code == 202
    job = response.json()
    assert (job["status"], job["resolved"]["seed"]) == ("validating", 7)
    assert [queue for _, queue in api.queue.rings] == [QUEUE_INTAKE, QUEUE_INTAKE]
    dataset = api.client.get(f"/v1/datasets/{job['dataset']}").json()
    assert dataset["preprocess"]["mean"] == [0.5]


def test_examples_of_a_data_set_are_pictures_of_its_pixels(api: Api) -> None:
    path = f"/v1/datasets/{api.client.post('/v1/datasets', content=NPZ).json()['id']}"
    assert api.client.get(f"{path}/examples").json()["data"] == []
    sent = []
    for channels in (1, 3):
        pixels = bytes(7 * k % 256 for k in range(6 * channels))
        example = {"label": "cat", "split": "train", "height": 3, "width": 2, "boxes": []}
        data = base64.b64encode(pixels).decode()
        sent.append((pixels, {**example, "channels": channels, "pixels": data}))
    report = {"num_samples": 3, "examples": [example for _, example in sent]}
    api.finish_intake(api.queue.rings[-1][0], report, None)
    assert "examples" not in api.client.get(path).json()["summary"]  # lists stay small
    found = api.client.get(f"{path}/examples").json()["data"]
    for (pixels, _), shown in zip(sent, found, strict=True):
        with Image.open(io.BytesIO(base64.b64decode(shown["png"]))) as image:
            assert (image.format, image.size, image.tobytes()) == ("PNG", (2, 3), pixels)
    assert api.client.get(f"{path}/examples", headers=api.other_tenant()).status_code == 404


def test_other_preprocessing_needs_no_other_upload(api: Api) -> None:
    first = api.client.post("/v1/datasets?name=pets", content=NPZ).json()
    path, num_rings = f"/v1/datasets/{first['id']}/copies", len(api.queue.rings)
    used = api.client.get("/v1/quotas").json()["quotas"]["stored_bytes"]["used"]
    sent = {"preprocess": {"preset": "imagenet"}}
    headers = {"Idempotency-Key": "copy"}
    made = [api.client.post(path, json=sent, headers=headers) for _ in range(2)]
    assert [response.status_code for response in made] == [201, 201]
    copy, again = (response.json() for response in made)
    assert copy["id"] == again["id"] != first["id"]
    assert (copy["name"], copy["sha256"], copy["status"]) == ("pets", first["sha256"], "validating")
    assert copy["preprocess"]["preset"] == "imagenet"
    assert len(api.queue.rings) == num_rings + 1  # its intake
    after = api.client.get("/v1/quotas").json()["quotas"]["stored_bytes"]["used"]
    assert after == used + first["num_bytes"]
    assert len([one for one in api.store.list() if first["sha256"] in str(one)]) == 1
    refused = api.client.post(path, json={"preprocess": {"std": [0]}})
    assert refused.status_code == 422
    assert "above 0" in refused.text


def test_preprocessing_is_asked_for_by_a_preset(api: Api) -> None:
    post = api.client.post
    found = post("/v1/datasets?preprocess=imagenet", content=NPZ).json()["preprocess"]
    assert (found["preset"], found["mean"]) == ("imagenet", [0.485, 0.456, 0.406])
    params = {"preprocess": '{"preset": "symmetric", "resize": [8, 8]}'}
    found = post("/v1/datasets", content=NPZ, params=params).json()["preprocess"]
    assert (found["resize"], found["mean"], found["std"]) == ([8, 8], [0.5], [0.5])
    params = {"preprocess": '{"mean": [0], "std": [1]}'}
    assert post("/v1/datasets", content=NPZ, params=params).json()["preprocess"]["preset"] == "unit"
    for sent, words in (
        ("image-net", "did you mean 'imagenet'?"),
        ("nothing", "imagenet, unit, symmetric, from-data"),
        ('{"preset": "imagenet", "mean": [0.5]}', "leave out mean or the preset"),
    ):
        response = post("/v1/datasets", content=NPZ, params={"preprocess": sent})
        assert response.status_code == 422
        assert words in response.json()["detail"]


def test_a_name_that_is_nearly_right_is_suggested(api: Api) -> None:
    api.client.post("/v1/models?name=resnet20", content=zip_bytes())
    api.client.post("/v1/datasets?name=fashion", content=NPZ)
    for path, meant in (
        ("models/resnet_20", "'resnet20'"), ("models/resnet2@1", "'resnet20'"),
        ("datasets/fashoin", "'fashion'"),
    ):  # fmt: skip
        detail = problem(api.client.get(f"/v1/{path}"))["detail"]
        assert detail.endswith(f": did you mean {meant}?")
    _, key = create_key(api.sessions, "other", "test", ["admin"])
    headers = {"authorization": f"Bearer {key}"}
    assert "did you mean" not in api.client.get("/v1/models/resnet_20", headers=headers).text


def test_uploads_without_preprocessing_get_a_warning(api: Api) -> None:
    images = zip_bytes(b"cat/1.png")
    dataset = api.client.post("/v1/datasets", content=images).json()
    assert dataset["warnings"] == [NO_PREPROCESS]
    assert post_job(api, dataset=dataset["id"])["warnings"] == [NO_PREPROCESS]
    dataset = api.client.post("/v1/datasets?preprocess=unit", content=images).json()
    assert dataset["warnings"] == []
    assert post_job(api, dataset=dataset["id"])["warnings"] == []


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"config": {"selection": {"mode": "ratio", "ratio": 2}}}, 422, "/config/selection/ratio"),
        ({"config": {"unknown": 1}}, 422, "/config/unknown"),
        ({"config": {"selection": {"mode": "budget"}}}, 422, "/config/selection"),
        ({"config": {"criterion": {"kind": "loss"}}}, 422, "/config/criterion/kind"),
        ({"dataset": "ds_nope"}, 404, None),
        ({"model": "mdl_nope"}, 404, None),
    ],
)
def test_an_invalid_job_is_refused_with_a_pointer(
    body: dict[str, object], status: int, pointer: str | None, api: Api
) -> None:
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    num_rings = len(api.queue.rings)
    response = api.client.post("/v1/jobs", json={"model": model, **body})
    assert response.status_code == status
    pointers = [item["pointer"] for item in problem(response)["errors"]]  # type: ignore[attr-defined]
    assert pointer is None or any(
        found.startswith(pointer) or pointer.startswith(found) for found in pointers
    ), pointers
    assert len(api.queue.rings) == num_rings


def test_the_commit_comes_before_the_answer_and_the_message_after_it(api: Api) -> None:
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    num_rings = len(api.queue.rings)

    def fail(_connection: object) -> None:
        raise OperationalError("COMMIT", {}, Exception("disk full"))

    engine = api.sessions.kw["bind"]
    event.listen(engine, "commit", fail)
    response = api.client.post("/v1/jobs", json={"model": model})
    event.remove(engine, "commit", fail)
    assert response.status_code == 503
    problem(response)
    assert len(api.queue.rings) == num_rings
    assert api.client.get("/v1/jobs").json()["data"] == []


def test_the_same_idempotency_key_creates_once(api: Api) -> None:
    headers = {"Idempotency-Key": "abc"}
    first = api.client.post("/v1/models", content=zip_bytes(), headers=headers)
    second = api.client.post("/v1/models", content=zip_bytes(), headers=headers)
    other = api.client.post("/v1/models", content=zip_bytes() + b"x", headers=headers)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert problem(other)["code"] == "idempotency_key_reused"
    assert len(api.client.get("/v1/models").json()["data"]) == 1
    assert len(api.queue.rings) == 1


def test_lists_are_paged_by_cursor(api: Api) -> None:
    ids = [api.client.post("/v1/models", content=zip_bytes()).json()["id"] for _ in range(5)]
    found, after = [], None
    while True:
        params = {"limit": 2} | ({"after": after} if after else {})
        page = api.client.get("/v1/models", params=params).json()
        found += [item["id"] for item in page["data"]]
        after = page["next_after"]
        if not page["has_more"]:
            break
    assert found == sorted(ids, reverse=True)


def test_a_job_has_an_etag_and_supports_long_polling(api: Api) -> None:
    job = post_job(api)
    first = api.client.get(f"/v1/jobs/{job['id']}")
    again = api.client.get(
        f"/v1/jobs/{job['id']}", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (first.status_code, again.status_code) == (200, 304)
    assert "retry-after" in first.headers
    assert api.client.get(f"/v1/jobs/{job['id']}?wait=0.1").status_code == 200


def test_a_job_is_cancelled_once(api: Api) -> None:
    job = post_job(api)
    cancelled = api.client.post(f"/v1/jobs/{job['id']}/cancel")
    assert cancelled.json()["status"] == "cancelled"
    assert api.client.post(f"/v1/jobs/{job['id']}/cancel").status_code == 409


def test_events_are_json_or_a_stream_that_resumes(api: Api) -> None:
    job = post_job(api)
    api.client.post(f"/v1/jobs/{job['id']}/cancel")
    url = f"/v1/jobs/{job['id']}/events"
    events = api.client.get(url).json()
    assert [e["type"] for e in events] == ["job.validating", "job.cancelled"]
    stream = api.client.get(url, headers={"Accept": "text/event-stream"}).text
    assert [line for line in stream.splitlines() if line.startswith("id: ")] == ["id: 1", "id: 2"]
    headers = {"Accept": "text/event-stream", "Last-Event-ID": "1"}
    resumed = api.client.get(url, headers=headers).text
    assert "id: 1" not in resumed
    assert json.loads(resumed.split("data: ")[1])["type"] == "job.cancelled"


def store_artifact(
    api: Api, job_id: str, folder: Path, name: str, media_type: str
) -> tuple[str, str]:
    """Store a file of ten bytes as a job's; return its id and SHA-256."""
    path = folder / name
    path.write_bytes(b"0123456789")
    sha256, artifact_id = api.store.put_file(path), new_id("art")
    with api.sessions.begin() as session:
        session.add(
            ArtifactRow(
                id=artifact_id,
                tenant="default",
                job_id=job_id,
                name=name,
                media_type=media_type,
                sha256=sha256,
                num_bytes=10,
                created_at=0.0,
            )
        )
    return artifact_id, sha256


def test_an_artifact_is_downloaded_whole_in_ranges_and_not_twice(api: Api, tmp_path: Path) -> None:
    job = post_job(api)
    artifact_id, sha256 = store_artifact(api, job["id"], tmp_path, "plan.json", "application/json")
    url = f"/v1/artifacts/{artifact_id}/content"
    whole = api.client.get(url)
    assert whole.content == b"0123456789"
    assert whole.headers["etag"] == f'"sha256-{sha256}"'
    assert whole.headers["x-content-type-options"] == "nosniff"
    part = api.client.get(url, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content) == (206, b"234")
    assert part.headers["content-range"] == "bytes 2-4/10"
    assert api.client.get(url, headers={"Range": "bytes=-3"}).content == b"789"
    assert api.client.get(url, headers={"Range": "bytes=50-"}).status_code == 416
    stale = {"Range": "bytes=2-4", "If-Range": '"sha256-other"'}
    assert api.client.get(url, headers=stale).content == b"0123456789"
    fresh = {"If-None-Match": whole.headers["etag"]}
    assert api.client.get(url, headers=fresh).status_code == 304
    assert api.client.head(url).headers["content-length"] == "10"
    listed = api.client.get(f"/v1/jobs/{job['id']}/artifacts").json()
    assert [item["id"] for item in listed] == [artifact_id]
    assert api.client.get(url, headers=api.other_tenant()).status_code == 404


def test_a_page_is_sent_as_a_download_that_can_run_nothing(api: Api, tmp_path: Path) -> None:
    job = post_job(api)
    page, _ = store_artifact(api, job["id"], tmp_path, "report.html", "text/html; charset=utf-8")
    for response in (
        api.client.get(f"/v1/artifacts/{page}/content"),
        api.client.head(f"/v1/artifacts/{page}/content"),
    ):
        assert response.headers["content-type"] == "text/html; charset=utf-8"
        assert response.headers["content-disposition"].startswith("attachment; ")
        assert response.headers["x-content-type-options"] == "nosniff"
        policy = response.headers["content-security-policy"].split("; ")
        assert {"sandbox", "default-src 'none'", "frame-ancestors 'none'"} <= set(policy)
        assert not any(rule.startswith("script-src") for rule in policy)
    other, _ = store_artifact(api, job["id"], tmp_path, "plan.json", "application/json")
    policy = api.client.get(f"/v1/artifacts/{other}/content").headers["content-security-policy"]
    assert "style-src" not in policy


def test_requests_without_a_valid_key_are_refused(api: Api) -> None:
    for headers in ({}, {"Authorization": "Bearer nope"}, {"Authorization": f"Bearer {api.key}x"}):
        request = api.client.build_request("GET", "/v1/models")
        request.headers.pop("authorization")
        request.headers.update(headers)
        response = api.client.send(request)
        assert response.status_code == 401
        assert problem(response)["code"] == "unauthenticated"


def test_other_tenants_see_nothing(api: Api) -> None:
    job = post_job(api)
    headers = api.other_tenant()
    for path in (f"/v1/models/{job['model']}", f"/v1/jobs/{job['id']}"):
        assert api.client.get(path, headers=headers).status_code == 404
    assert api.client.get("/v1/jobs", headers=headers).json()["data"] == []
    assert api.client.post(f"/v1/jobs/{job['id']}/cancel", headers=headers).status_code == 404
    for path in ("/v1/jobs", "/v1/jobs:plan"):
        response = api.client.post(path, json={"model": job["model"]}, headers=headers)
        assert response.status_code == 404


def test_a_model_in_use_is_not_deleted(api: Api) -> None:
    job = post_job(api)
    assert api.client.delete(f"/v1/models/{job['model']}").status_code == 409
    api.client.post(f"/v1/jobs/{job['id']}/cancel")
    with api.sessions.begin() as session:  # its intake job is live too
        for row in session.query(JobRow).filter_by(model_id=job["model"]):
            row.state = "succeeded"
    assert api.client.delete(f"/v1/models/{job['model']}").status_code == 204
    assert api.client.get(f"/v1/models/{job['model']}").status_code == 404


def test_metadata_and_name_can_be_changed(api: Api) -> None:
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    patch = {"name": "better", "metadata": {"team": "vision"}}
    body = api.client.patch(f"/v1/models/{model}", json=patch).json()
    assert (body["name"], body["metadata"]) == ("better", {"team": "vision"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nope", 404), ("PUT", "/v1/models", 405), ("GET", "/v1/models?limit=0", 422)],
)
def test_the_frameworks_own_errors_are_problems_too(
    method: str, path: str, status: int, api: Api
) -> None:
    response = api.client.request(method, path)
    assert response.status_code == status
    problem(response)


def test_half_a_surrogate_pair_is_refused(api: Api) -> None:
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    body = b'{"metadata": {"a": "\\ud800"}}'
    headers = {"content-type": "application/json"}
    response = api.client.patch(f"/v1/models/{model}", content=body, headers=headers)
    assert problem(response)["status"] == 422


def test_health_schemas_and_openapi_are_open(tmp_path: Path) -> None:
    with running_api(tmp_path / "data", supervisor=Supervisor) as api:
        for path in ("/healthz", "/readyz", "/openapi.json", "/v1/schemas/config"):
            request = api.client.build_request("GET", path)
            request.headers.pop("authorization")
            assert api.client.send(request).status_code == 200, path


def test_every_reference_in_the_openapi_document_leads_somewhere(api: Api) -> None:
    document = api.client.get("/openapi.json").json()
    references = set(re.findall(r'"\$ref": "#/components/schemas/(\w+)"', json.dumps(document)))
    assert "JobCreate" in references
    assert references <= document["components"]["schemas"].keys()
    body = document["paths"]["/v1/jobs"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert document["components"]["schemas"]["JobCreate"]["examples"]
    assert {"/infer", "/v1/models", "/v1/datasets", "/v1/jobs"} <= set(document["paths"])


def test_an_open_service_on_a_public_address_refuses_to_start(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="without authentication"),
        running_api(tmp_path, api={"host": "0.0.0.0", "is_auth_required": False}),  # noqa: S104
    ):
        pass


@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"criterion": {"kind": "auto"}}, "/config/criterion/kind"),
        ({"selection": {"mode": "accuracy"}}, "/config/selection/mode"),
        (
            {
                "schedule": {"kind": "iterative"},
                "selection": {"mode": "budget", "macs": 0.5},
            },
            "/config/schedule/kind",
        ),
    ],
)
def test_training_and_measuring_need_a_data_set(
    config: dict[str, object], pointer: str, api: Api
) -> None:
    model = api.client.post("/v1/models", content=zip_bytes()).json()["id"]
    response = api.client.post("/v1/jobs", json={"model": model, "config": config})
    assert problem(response)["status"] == 422
    assert response.json()["errors"][0]["pointer"] == pointer

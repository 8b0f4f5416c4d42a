"""Uploads: streamed, under one key, with a digest that both ends check."""

import base64
import hashlib
import json
import zipfile
from pathlib import Path

import pytest

from secateur.core.folders import pack_folder
from secateur.core.requests import FileBody, read_file
from secateur.core.targets import job_body
from secateur.core.uploads import dataset_query, push_model
from secateur.errors import (
    AuthenticationError,
    FileChangedError,
    ModelRejectedError,
    SecateurError,
    UnsupportedFileError,
    WaitTimeoutError,
)
from secateur.types import Model
from tests.fixtures.files import zip_bytes
from tests.unit.client.script import (
    ARRIVED,
    CONTEXT,
    NEVER_SENT,
    Script,
    dataset,
    model,
    ok,
    problem,
)

BYTES = zip_bytes() + bytes(range(256)) * 10_000
SHA256 = hashlib.sha256(BYTES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "net.pt2"
    found.write_bytes(BYTES)
    return found


def answer(**changes: object) -> dict[str, object]:
    return model(sha256=SHA256.hexdigest(), **changes)


def test_an_upload_that_is_lost_is_sent_again_under_the_same_key(path: Path) -> None:
    empty = problem(422, "invalid_input")
    script = Script([ARRIVED, empty, ok(answer(status="validating"), 201), ok(answer())])
    found = script.run(push_model(CONTEXT, path, {"name": "net"}, None, None))
    assert found.status == "ready"
    first, probe, second, poll = script.requests
    assert (probe.body, probe.headers.get("idempotency-key")) == (b"", None)
    assert first.headers == second.headers
    assert first.query == {"filename": "net.pt2", "name": "net"}
    digest = base64.b64encode(SHA256.digest()).decode()
    assert first.headers["content-digest"] == f"sha-256=:{digest}:"
    assert poll.path == "/v1/models/mdl_1"
    assert isinstance(first.body, FileBody)
    assert b"".join(first.body.chunks()) == BYTES
    assert b"".join(second.body.chunks()) == BYTES, "the second try begins at the beginning"  # type: ignore[union-attr]


def test_the_reason_of_a_closed_connection_is_requested(path: Path) -> None:
    """The service refused the file unread, and its answer was lost with the connection."""
    script = Script([ARRIVED, problem(401, "unauthenticated")])
    with pytest.raises(AuthenticationError):
        script.run(push_model(CONTEXT, path, {}, None, None))
    script = Script([ARRIVED, NEVER_SENT, ARRIVED, problem(503, "busy"), ok(answer(), 201)])
    assert script.run(push_model(CONTEXT, path, {}, None, None)).status == "ready"


def test_a_file_that_changes_meanwhile_is_an_error(path: Path) -> None:
    body = read_file(path, None)
    path.write_bytes(BYTES[:1000])
    with pytest.raises(FileChangedError, match="became shorter"):
        b"".join(body.chunks())
    script = Script([ok(model(sha256="0" * 64), 201)])
    with pytest.raises(FileChangedError, match="received other bytes"):
        script.run(push_model(CONTEXT, path, {}, None, None))


def test_a_rejected_model_says_why(path: Path) -> None:
    error = {"code": "unsupported_op", "message": "aten.foo", "hint": "Do without."}
    script = Script([ok(answer(status="rejected", error=error), 201)])
    with pytest.raises(ModelRejectedError, match=r"mdl_1 was rejected: aten\.foo") as caught:
        script.run(push_model(CONTEXT, path, {}, None, None))
    assert "Do without." in str(caught.value)
    assert caught.value.model.error is not None


def test_waiting_for_intake_has_a_limit(path: Path) -> None:
    script = Script([ok(answer(status="validating"), 201)])
    with pytest.raises(WaitTimeoutError, match=r"mdl_1 was not done after 0\.01 s"):
        script.run(push_model(CONTEXT, path, {}, None, 0.01))


def test_ids_are_taken_as_they_are_and_files_are_uploaded(path: Path) -> None:
    known = Model.model_validate(model())
    for given in (known, "mdl_1"):
        script = Script([])
        body = script.run(job_body(CONTEXT, given, "ds_1", {"config": {}}, None, None))
        assert body == {"model": "mdl_1", "dataset": "ds_1", "config": {}}
    script = Script([ok(answer(), 201)])
    body = script.run(job_body(CONTEXT, str(path), None, {}, None, None))
    assert body == {"model": "mdl_1", "dataset": None}


@pytest.mark.parametrize(
    ("data", "preprocess", "words"),
    [
        ("nothing.npz", None, "neither an id"),
        ("ds_1", {}, "has its own"),
        (None, {}, "has its own"),
    ],
)
def test_contradictory_arguments_are_refused(
    data: str | None, preprocess: dict[str, object] | None, words: str
) -> None:
    with pytest.raises(SecateurError, match=words):
        Script([]).run(job_body(CONTEXT, "mdl_1", data, {}, preprocess, None))


def test_a_folder_of_images_is_packed(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name in ("cat/1.png", "dog/2.png", ".hidden/3.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n" + name.encode())
    (folder / "link.png").symlink_to("/etc/passwd")
    packed = pack_folder(folder, tmp_path)
    assert zipfile.ZipFile(packed).namelist() == ["cat/1.png", "dog/2.png"]
    sha256 = hashlib.sha256(packed.read_bytes()).hexdigest()
    for data in (folder, str(folder)):  # the same folder gives the same bytes
        script = Script([ok(dataset(sha256=sha256), 201)])
        found = script.run(job_body(CONTEXT, "mdl_1", data, {}, None, None))
        assert found["dataset"] == "ds_1"
        assert script.requests[0].query == {"filename": "photos.zip"}


def test_the_service_fetches_a_url() -> None:
    options = {"name": "net", "architecture": "timm/x", "num_classes": 7, "in_channels": None}
    script = Script([ok(model(status="validating"), 201), ok(model())])
    url = "https://a.test/net.pt2?x=//y"
    assert script.run(push_model(CONTEXT, url, options, None, None)).status == "ready"
    first = script.requests[0]
    assert isinstance(first.body, bytes)
    assert (first.path, json.loads(first.body)) == (
        "/v1/models:fetch",
        {"url": url, "name": "net", "architecture": {"name": "timm/x", "num_classes": 7}},
    )
    assert first.wait_seconds == 900
    assert "idempotency-key" in first.headers
    for given in ("s3://bucket/d.npz", Path("s3://bucket/d.npz")):
        script = Script([ok(dataset(), 201)])
        script.run(job_body(CONTEXT, "mdl_1", given, {}, "imagenet", None))
        sent = script.requests[0].body
        assert isinstance(sent, bytes)
        assert json.loads(sent) == {"url": "s3://bucket/d.npz", "preprocess": "imagenet"}


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    flow = job_body(CONTEXT, "mdl_1", tmp_path, {}, None, None)
    with pytest.raises(UnsupportedFileError):
        Script([]).run(flow)


def test_preprocessing_travels_as_json() -> None:
    query = dataset_query(None, {"mean": (0.5,), "std": (0.5,)})
    assert json.loads(query["preprocess"]) == {"mean": [0.5], "std": [0.5]}

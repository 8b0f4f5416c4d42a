"""Downloads: resumed, checked, complete or absent, and never outside of their folder."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from secateur.core.downloads import download_all, safe_name
from secateur.core.steps import Answer
from secateur.errors import ConnectionFailedError, DownloadError
from tests.unit.client.script import ARRIVED, CONTEXT, Script, ok, problem

DATA = bytes(range(256)) * 100
SHA256 = hashlib.sha256(DATA).hexdigest()


def artifact(name: str = "model.onnx", **changes: Any) -> dict[str, Any]:
    return {
        "id": f"art_{name}", "object": "artifact", "job": "job_1", "name": name,
        "media_type": "application/octet-stream", "sha256": SHA256, "num_bytes": len(DATA),
        "created_at": None, "urls": {}, **changes,
    }  # fmt: skip


def whole(*chunks: Any, etag: str = SHA256) -> tuple[Answer, list[Any]]:
    return Answer(200, {"etag": f'"sha256-{etag}"'}), list(chunks)


def part(start: int, *chunks: Any) -> tuple[Answer, list[Any]]:
    span = f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"
    return Answer(206, {"etag": f'"sha256-{SHA256}"', "content-range": span}), list(chunks)


def pull(
    folder: Path,
    *outcomes: Any,
    artifacts: Sequence[Any] = (artifact(),),
    names: Sequence[str] | None = None,
    is_overwriting: bool = False,
) -> Script:
    script = Script([ok(list(artifacts)), *outcomes])
    flow = download_all(CONTEXT, "job_1", folder, names, None, is_overwriting=is_overwriting)
    script.emitted = script.run(flow)
    return script


def test_only_complete_files_appear(tmp_path: Path) -> None:
    script = pull(tmp_path / "new", whole(DATA[:100], DATA[100:]))
    assert script.emitted == [tmp_path / "new" / "model.onnx"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.onnx"]
    assert script.emitted[0].read_bytes() == DATA


def test_a_download_that_breaks_off_goes_on_where_it_was(tmp_path: Path) -> None:
    script = pull(
        tmp_path,
        whole(DATA[:100], ARRIVED),
        part(100, DATA[100:300], ARRIVED),
        part(300, DATA[300:]),
    )
    assert (tmp_path / "model.onnx").read_bytes() == DATA
    spans = [request.headers.get("range") for request in script.requests[1:]]
    assert spans == [None, "bytes=100-", "bytes=300-"]
    assert script.requests[2].headers["if-range"] == f'"sha256-{SHA256}"'


def test_a_partial_download_is_resumed(tmp_path: Path) -> None:
    with pytest.raises(ConnectionFailedError):
        pull(tmp_path, whole(DATA[:100], ARRIVED), *[ARRIVED] * 5)
    assert not (tmp_path / "model.onnx").exists()
    script = pull(tmp_path, part(100, DATA[100:]))
    assert script.requests[1].headers["range"] == "bytes=100-"
    assert (tmp_path / "model.onnx").read_bytes() == DATA


def test_a_full_answer_to_a_range_request_replaces_the_partial_file(tmp_path: Path) -> None:
    pull(tmp_path, whole(DATA[:100], ARRIVED), whole(DATA))
    assert (tmp_path / "model.onnx").read_bytes() == DATA


def test_wrong_bytes_are_discarded(tmp_path: Path) -> None:
    wrong = bytes(len(DATA))
    with pytest.raises(DownloadError, match="the download was deleted"):
        pull(tmp_path, whole(wrong))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (whole(DATA, etag="0" * 64), "has the ETag"),
        (part(7, DATA[7:]), "has the range 'bytes 7-"),
        (whole(DATA, b"more"), "larger than the announced"),
    ],
    ids=["etag", "range", "length"],
)
def test_an_answer_of_the_wrong_kind_is_refused(tmp_path: Path, outcome: Any, words: str) -> None:
    with pytest.raises(DownloadError, match=words):
        pull(tmp_path, outcome)
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../model.onnx", "/etc/passwd", "a/b", "a\\b", "..", ".", "", ".bashrc", "C:evil", "a\0b",
        "nul", "COM1.txt", "a\nb", "x" * 300, "ü", "-rf",
    ],
)  # fmt: skip
def test_a_name_cannot_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(DownloadError, match="not stored"):
        safe_name(name)
    with pytest.raises(DownloadError):
        pull(tmp_path, whole(DATA), artifacts=[artifact(name)])
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    folder.mkdir()
    outside.write_bytes(b"precious")
    (folder / "model.onnx").symlink_to(outside)
    pull(folder, whole(DATA), is_overwriting=True)
    assert outside.read_bytes() == b"precious"
    assert not (folder / "model.onnx").is_symlink()
    (folder / "model.onnx").unlink()
    (folder / f".model.onnx.{SHA256[:16]}.part").symlink_to(outside)
    with pytest.raises(OSError, match="symbolic link"):
        pull(folder, whole(DATA))
    assert outside.read_bytes() == b"precious"


def test_existing_files_are_kept(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(DATA)
    assert len(pull(tmp_path).requests) == 1, "it is the same: nothing is downloaded"
    target.write_bytes(b"mine")
    with pytest.raises(DownloadError, match="with other bytes"):
        pull(tmp_path)
    assert target.read_bytes() == b"mine"
    pull(tmp_path, whole(DATA), is_overwriting=True)
    assert target.read_bytes() == DATA


def test_some_files_may_be_chosen(tmp_path: Path) -> None:
    both = [artifact("a.json"), artifact("b.json")]
    script = pull(tmp_path, whole(DATA), artifacts=both, names=["b.json", "b.json"])
    assert [path.name for path in script.emitted] == ["b.json"]
    with pytest.raises(DownloadError, match=r"has no file 'c.json'; it has a.json, b.json"):
        pull(tmp_path, artifacts=both, names=["c.json"])


def test_a_full_service_is_waited_for(tmp_path: Path) -> None:
    script = pull(tmp_path, problem(503, "busy", "2"), whole(DATA))
    assert script.sleeps == [2]
    assert (tmp_path / "model.onnx").read_bytes() == DATA

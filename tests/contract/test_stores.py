"""One suite for every store: a folder, and a bucket behind S3."""

import hashlib
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.contracts.errors import UnavailableError
from app.contracts.settings import StorageSettings
from app.objects.storage import ObjectStore, open_store


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return open_store(f"file://{tmp_path / 'a folder'}", StorageSettings())
    server = request.getfixturevalue("s3_server")
    settings = StorageSettings(
        endpoint=server.endpoint,
        region="us-east-1",
        access_key_id=SecretStr("test"),
        secret_access_key=SecretStr("test"),
    )
    return open_store(f"s3://{server.bucket}/{tmp_path.name}", settings)


@pytest.fixture
def data_path(tmp_path: Path) -> Path:
    path = tmp_path / "data.bin"
    path.write_bytes(bytes(range(256)) * 5000)
    return path


def test_an_object_comes_back_under_its_hash(store: ObjectStore, data_path: Path) -> None:
    sha256 = store.put_file(data_path)
    assert sha256 == hashlib.sha256(data_path.read_bytes()).hexdigest()
    assert b"".join(store.stream(sha256)) == data_path.read_bytes()


def test_putting_twice_is_harmless(store: ObjectStore, data_path: Path) -> None:
    assert store.put_file(data_path) == store.put_file(data_path)


def test_a_range_is_exactly_that(store: ObjectStore, data_path: Path) -> None:
    sha256 = store.put_file(data_path)
    assert b"".join(store.stream(sha256, 10, 20)) == bytes(range(10, 20))
    assert b"".join(store.stream(sha256, 1_279_990)) == bytes(range(246, 256))


def test_fetch_writes_a_file(store: ObjectStore, data_path: Path, tmp_path: Path) -> None:
    sha256 = store.put_file(data_path)
    store.fetch(sha256, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == data_path.read_bytes()


def test_a_missing_object_is_a_missing_file(store: ObjectStore, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.fetch("0" * 64, tmp_path / "copy")
    assert not store.has("0" * 64)


def test_a_deleted_object_is_gone_and_deleting_again_is_fine(
    store: ObjectStore, data_path: Path
) -> None:
    sha256 = store.put_file(data_path)
    store.delete(sha256)
    store.delete(sha256)
    assert not store.has(sha256)


@pytest.mark.parametrize("name", ["../secret", "A" * 64, "0" * 63, "/etc/passwd"])
def test_names_are_hashes_and_nothing_else(store: ObjectStore, name: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        store.has(name)


def test_bytes_with_another_hash_are_refused(tmp_path: Path, data_path: Path) -> None:
    store = open_store(f"file://{tmp_path / 'objects'}", StorageSettings())
    sha256 = store.put_file(data_path)
    (tmp_path / "objects" / "sha256" / sha256[:2] / sha256).write_bytes(b"other")
    with pytest.raises(UnavailableError, match="other bytes"):
        store.fetch(sha256, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()

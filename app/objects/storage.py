"""Objects: immutable bytes under their own SHA-256, in a folder or a bucket.

This is the only module that uses the object-store library. Putting the same bytes twice is
harmless, objects appear atomically, and names never come from users.

An object is put before the row that refers to it is committed. Unreferenced objects are deleted
after `StorageSettings.orphan_seconds` (`app.objects.garbage`), so a caller must commit within half
of that time after a put. A put that finds its object older than half of that time writes it again,
which resets its age.
"""

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store, from_url

from app.contracts.errors import UnavailableError
from app.contracts.settings import StorageSettings

CHUNK_BYTES = 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MISSING_BUCKET_TIMEOUT = timedelta(seconds=30)
_PREFIX = "sha256"
_CLOCK_PREFIX = "clock"

Hold = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class StoredObject:
    """Metadata of an object.

    Attributes:
        sha256: Name of the object: the hash of its bytes.
        num_bytes: Size.
        modified_at: Time of the put by the store's clock, in seconds since the epoch.
    """

    sha256: str
    num_bytes: int
    modified_at: float


class CorruptObjectError(UnavailableError):
    """The store returned other bytes than were stored."""


class ObjectStore:
    """Content-addressed objects on one backend."""

    def __init__(
        self,
        backend: Any,  # noqa: ANN401  # obstore's stores share no public base
        refresh_seconds: float,
        hold: Hold = nullcontext,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Wrap a backend.

        Args:
            backend: One of obstore's stores.
            refresh_seconds: Age from which a put writes an existing object again.
            hold: Lock held during such a put, to keep the collector from deleting the object.
            clock: This machine's clock; S3 refuses requests if it is 15 minutes off.
        """
        self._backend, self._refresh_seconds = backend, refresh_seconds
        self._hold, self._clock = hold, clock

    def put_file(self, path: Path, sha256: str | None = None) -> str:
        """Store the file at ``path`` and return its SHA-256 in hexadecimal."""
        digest = sha256 or file_sha256(path)
        found = self.find(digest)
        if found is None:
            self._put(path, digest)
        elif self._clock() - found.modified_at >= self._refresh_seconds:
            with self._hold():
                self._put(path, digest)
        return digest

    def has(self, sha256: str) -> bool:
        """Return whether the object exists."""
        return self.find(sha256) is not None

    def find(self, sha256: str) -> StoredObject | None:
        """Return the metadata of an object, or None if it does not exist."""
        try:
            with _translated():
                found = obstore.head(self._backend, _key(sha256))
        except FileNotFoundError:
            return None
        return StoredObject(sha256, found["size"], found["last_modified"].timestamp())

    def list(self) -> Iterator[StoredObject]:
        """Yield the metadata of every object; ignore other names in the store."""
        with _translated():
            for batch in obstore.list(self._backend, _PREFIX):
                for found in batch:
                    sha256 = found["path"].rpartition("/")[2]
                    if _SHA256.fullmatch(sha256) and found["path"] == _key(sha256):
                        yield StoredObject(
                            sha256, found["size"], found["last_modified"].timestamp()
                        )

    def now(self) -> float:
        """Return the time by the store's own clock, which dates the objects."""
        name = f"{_CLOCK_PREFIX}/{secrets.token_hex(8)}"
        with _translated():
            obstore.put(self._backend, name, b"0")
            found = obstore.head(self._backend, name)
            obstore.delete(self._backend, name)
        return found["last_modified"].timestamp()

    def remove_unfinished(self, before: float) -> int:
        """Remove files of puts interrupted before ``before``, in a folder; return how many.

        Buckets need a lifecycle rule instead (docs/operations.md).
        """
        if not isinstance(self._backend, LocalStore) or self._backend.prefix is None:
            return 0
        removed = 0
        # The library writes beside the object, under its name and a number, and renames.
        for path in Path(self._backend.prefix).glob(f"{_PREFIX}/*/*#*"):
            try:
                if path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:
                continue  # the put has finished
        return removed

    def stream(self, sha256: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes ``start`` to ``end`` (exclusive) of an object.

        Raises:
            FileNotFoundError: There is no such object.
        """
        options: Any = {}
        if end is not None:
            options = {"range": (start, end)}
        elif start:
            options = {"range": {"offset": start}}
        with _translated():
            result = obstore.get(self._backend, _key(sha256), options=options)
            for chunk in result.stream(CHUNK_BYTES):
                yield bytes(chunk)

    def fetch(self, sha256: str, path: Path) -> None:
        """Copy an object to ``path`` and check its SHA-256 on the way.

        Raises:
            FileNotFoundError: There is no such object.
            UnavailableError: The store cannot be reached.
            CorruptObjectError: The store returned other bytes.
        """
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for chunk in self.stream(sha256):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256:
            path.unlink()
            raise CorruptObjectError(
                f"object {sha256[:12]}… arrived with other bytes than were stored"
            )

    def delete(self, sha256: str) -> None:
        """Remove an object; a missing one is fine."""
        try:
            with _translated():
                obstore.delete(self._backend, _key(sha256))
        except FileNotFoundError:
            return

    def check(self) -> None:
        """Raise `UnavailableError` unless the store answers."""
        backend = self._backend
        if isinstance(backend, LocalStore) and not Path(str(backend.prefix)).is_dir():
            raise UnavailableError("the folder of the object store does not exist")
        self.has("0" * 64)

    def _put(self, path: Path, sha256: str) -> None:
        with _translated():
            obstore.put(self._backend, _key(sha256), path)


def open_store(url: str, settings: StorageSettings, hold: Hold = nullcontext) -> ObjectStore:
    """Return the store at ``url``; create a missing folder.

    Args:
        url: A folder or a bucket.
        settings: Endpoint and credentials.
        hold: See `ObjectStore`; required if the caller commits rows that refer to its puts.
    """
    return ObjectStore(_open_backend(url, settings), settings.orphan_seconds / 2, hold)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _open_backend(url: str, settings: StorageSettings) -> Any:  # noqa: ANN401  # see ObjectStore
    if url.startswith("file://"):
        return LocalStore(url.removeprefix("file://"), mkdir=True)
    if url.startswith("s3://"):
        config: dict[str, Any] = {}
        if settings.endpoint is not None:
            config["endpoint"] = settings.endpoint
        if settings.region is not None:
            config["region"] = settings.region
        if settings.access_key_id is not None and settings.secret_access_key is not None:
            config["access_key_id"] = settings.access_key_id.get_secret_value()
            config["secret_access_key"] = settings.secret_access_key.get_secret_value()
        client: Any = {"allow_http": (settings.endpoint or "").startswith("http://")}
        retry: Any = {"max_retries": 5, "retry_timeout": _MISSING_BUCKET_TIMEOUT}
        return S3Store.from_url(url, config=config, client_options=client, retry_config=retry)  # type: ignore[arg-type]
    return from_url(url)


def _key(sha256: str) -> str:
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"not a SHA-256 in hexadecimal: {sha256[:80]!r}")
    return f"{_PREFIX}/{sha256[:2]}/{sha256}"


class _translated:  # noqa: N801  # reads as a statement
    """Turn the library's errors into ours; a missing object stays ``FileNotFoundError``."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, BaseError):
            raise UnavailableError("the object store cannot be reached") from error

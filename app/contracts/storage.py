"""Objects: immutable bytes under their own SHA-256, in a folder or a bucket.

The only module that knows the object-store library. Putting the same bytes twice is harmless, an
object becomes visible whole or not at all, and names never come from users.
"""

import hashlib
import re
from collections.abc import Iterator
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


class ObjectStore:
    """Content-addressed objects over one backend."""

    def __init__(self, backend: Any) -> None:  # noqa: ANN401  # obstore's stores share no public base
        self._backend = backend

    def put_file(self, path: Path, sha256: str | None = None) -> str:
        """Store the file at ``path`` and return its SHA-256 in hexadecimal."""
        digest = sha256 or file_sha256(path)
        if not self.has(digest):
            with _translated():
                obstore.put(self._backend, _key(digest), path)
        return digest

    def has(self, sha256: str) -> bool:
        """Return whether the object is there."""
        try:
            with _translated():
                obstore.head(self._backend, _key(sha256))
        except FileNotFoundError:
            return False
        return True

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
            UnavailableError: The store cannot be reached, or gave other bytes than were put.
        """
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for chunk in self.stream(sha256):
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != sha256:
            path.unlink()
            raise UnavailableError(
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
        self.has("0" * 64)


def open_store(url: str, settings: StorageSettings) -> ObjectStore:
    """Return the store at ``url``; a folder is made if it is missing."""
    if url.startswith("file://"):
        return ObjectStore(LocalStore(url.removeprefix("file://"), mkdir=True))
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
        store = S3Store.from_url(url, config=config, client_options=client, retry_config=retry)  # type: ignore[arg-type]
        return ObjectStore(store)
    return ObjectStore(from_url(url))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(sha256: str) -> str:
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"not a SHA-256 in hexadecimal: {sha256[:80]!r}")
    return f"sha256/{sha256[:2]}/{sha256}"


class _translated:  # noqa: N801  # reads as a statement
    """Turn the library's errors into ours; a missing object stays ``FileNotFoundError``."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, BaseError):
            raise UnavailableError("the object store cannot be reached") from error

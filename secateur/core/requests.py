"""A request as a value: built from an endpoint, checked against it, sent by a transport."""

import base64
import hashlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from secateur.core.endpoints import JSON, Endpoint
from secateur.errors import FileChangedError, SecateurError

CHUNK_BYTES = 1024 * 1024

ByteProgress = Callable[[int, int], None]
"""Called with the bytes sent so far and the size of the file."""


@dataclass(frozen=True)
class FileBody:
    """A file that is streamed from disk.

    Attributes:
        path: The file's path.
        num_bytes: Its size.
        sha256: Its SHA-256, sent as ``Content-Digest``.
        on_progress: Called after each chunk.
    """

    path: Path
    num_bytes: int
    sha256: bytes
    on_progress: ByteProgress | None = None

    def chunks(self) -> Iterator[bytes]:
        """Yield the file in chunks.

        Raises:
            FileChangedError: The file became shorter. Other changes are caught by the digest.
        """
        done = 0
        with self.path.open("rb") as file:
            while done < self.num_bytes:
                chunk = file.read(min(CHUNK_BYTES, self.num_bytes - done))
                if not chunk:
                    raise FileChangedError(f"{self.path} became shorter while it was being sent")
                done += len(chunk)
                yield chunk

    def report(self, done: int) -> None:
        """Report how many bytes were sent."""
        if self.on_progress is not None:
            self.on_progress(done, self.num_bytes)


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    Attributes:
        endpoint: The endpoint it goes to.
        path: The endpoint's path with its parameters filled in.
        query: Query parameters.
        headers: Headers, with names in lower case.
        body: Bytes or a file.
        wait_seconds: How long the service may wait before it responds, for long polling.
    """

    endpoint: Endpoint
    path: str
    query: Mapping[str, str | list[str]] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | FileBody = b""
    wait_seconds: float = 0.0


def make_request(
    endpoint: Endpoint,
    *ids: str,
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    body: bytes | FileBody = b"",
    media_type: str | None = None,
    wait_seconds: float = 0.0,
) -> Request:
    """Return a request to an endpoint.

    Args:
        endpoint: The endpoint to call.
        ids: Values of the path's parameters, in order.
        query: Query parameters; a list is sent as several, and None is left out.
        headers: Headers, with names in lower case.
        body: Bytes or a file.
        media_type: The body's media type; parameters such as a boundary may follow.
        wait_seconds: How long the service may wait before it responds.

    Raises:
        ValueError: The endpoint does not declare a parameter, header or body: a bug of ours.
    """
    found = {name: value for name, value in (query or {}).items() if value is not None}
    sent = dict(headers or {})
    for kind, names, declared in (
        ("parameter", found, endpoint.query),
        ("header", sent, endpoint.headers),
        ("body", [media_type.partition(";")[0]] if media_type else [], endpoint.bodies),
    ):
        for name in names:
            if name not in declared:
                raise ValueError(f"{endpoint.method} {endpoint.path} declares no {kind} {name!r}")
    if media_type is not None:
        sent["content-type"] = media_type
    sent["accept"] = ", ".join(endpoint.answers)
    texts = {
        name: [str(each) for each in value] if isinstance(value, list) else str(value)
        for name, value in found.items()
    }
    return Request(endpoint, _fill(endpoint.path, ids), texts, sent, body, wait_seconds)


def make_json_request(
    endpoint: Endpoint,
    body: Mapping[str, Any],
    *,
    ids: Sequence[str] = (),
    are_nulls_sent: bool = False,
    **options: Any,  # noqa: ANN401  # `make_request`'s
) -> Request:
    """Return a request with a JSON body; members that are None are left out, if not asked for."""
    sent = {name: value for name, value in body.items() if are_nulls_sent or value is not None}
    data = json.dumps(sent, allow_nan=False).encode()
    return make_request(endpoint, *ids, body=data, media_type=JSON, **options)


def new_idempotency_key() -> dict[str, str]:
    """Return a header that lets the service recognise a repeated request."""
    return {"idempotency-key": uuid.uuid4().hex}


def read_file(path: Path, on_progress: ByteProgress | None) -> FileBody:
    """Return a file as a body, after reading it once for its digest."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
        return FileBody(path, file.tell(), digest, on_progress)


def content_digest(body: FileBody) -> dict[str, str]:
    """Return the header that makes the service refuse any other bytes (RFC 9530)."""
    return {"content-digest": f"sha-256=:{base64.b64encode(body.sha256).decode()}:"}


def _fill(path: str, ids: tuple[str, ...]) -> str:
    """Fill ids into a path template; each id stays a single path segment."""
    for value in ids:
        if not value:
            raise SecateurError(f"an id is empty: {path}")
        before, _, rest = path.partition("{")
        segment = quote(value, safe="").replace(".", "%2E")  # `..` would change the path
        path = before + segment + rest.partition("}")[2]
    return path

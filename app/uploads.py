"""Files on their way in: streamed to disk under a running SHA-256, visible only when whole."""

import base64
import hashlib
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from app.contracts.errors import InvalidInputError, TooLargeError, UnsupportedMediaError
from app.contracts.spec import ArchitectureSpec

_CHUNK_BYTES = 1024 * 1024
_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/=]{44}):")
_HINT = (
    "Export the model with: ep = torch.export.export(model.eval(), (x,), "
    'dynamic_shapes=({0: torch.export.Dim("batch", min=1)},)); torch.export.save(ep, "model.pt2")'
)
_PICKLE_MAGIC = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_ZIP_MAGIC = b"PK\x03\x04"
_PARQUET_MAGIC = b"PAR1"
_GZIP_MAGIC = b"\x1f\x8b"
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257
_REFUSED_COMPRESSIONS = (b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")  # bzip2, xz, zstandard
_MAX_FILENAME = 200


@dataclass(frozen=True)
class Upload:
    """A file that arrived whole.

    Attributes:
        path: Where it lies, until the block that received it ends.
        sha256: In hexadecimal.
        num_bytes: Its size.
        filename: What the user called it, for display alone.
    """

    path: Path
    sha256: str
    num_bytes: int
    filename: str | None


@asynccontextmanager
async def receive_upload(
    request: Request, folder: Path, limit: int, filename: str | None, *names: str
) -> AsyncIterator[Upload]:
    """Receive a file that is the raw body, or the form field with one of ``names``.

    Raises:
        TooLargeError: It is larger than ``limit``.
        InvalidInputError: It is missing, empty, or not what ``Content-Digest`` says.
    """
    if is_multipart(request):
        async with (
            request.form(max_files=1, max_fields=10) as form,
            receive_part(file_of(form, *names), folder, limit) as upload,
        ):
            yield upload
    else:
        async with _receive_body(request, folder, limit, filename) as upload:
            yield upload


@asynccontextmanager
async def _receive_body(
    request: Request, folder: Path, limit: int, filename: str | None
) -> AsyncIterator[Upload]:
    async with _receive(request.stream(), folder, limit, filename) as upload:
        _check_digest(request, upload)
        yield upload


@asynccontextmanager
async def receive_part(part: UploadFile, folder: Path, limit: int) -> AsyncIterator[Upload]:
    """Receive one file of a multipart body.

    Raises:
        TooLargeError: It is larger than ``limit``.
        InvalidInputError: It is empty.
    """

    async def chunks() -> AsyncIterator[bytes]:
        while chunk := await part.read(_CHUNK_BYTES):
            yield chunk

    async with _receive(chunks(), folder, limit, part.filename) as upload:
        yield upload


def file_of(form: FormData, *names: str) -> UploadFile:
    """Return the first file part with one of ``names``.

    Raises:
        InvalidInputError: There is none.
    """
    for name in names:
        part = form.get(name)
        if isinstance(part, UploadFile):
            return part
    raise InvalidInputError(f"the form has no file part {names[0]!r}")


def is_multipart(request: Request) -> bool:
    """Return whether the body is a form."""
    return request.headers.get("content-type", "").startswith("multipart/form-data")


def check_model(upload: Upload, architecture: ArchitectureSpec | None) -> str:
    """Return the format of a model file by its first bytes; parsing is the worker's.

    Raises:
        UnsupportedMediaError: It is a pickle, or nothing we know.
        InvalidInputError: Weights without an architecture, or an architecture without weights.
    """
    head = _head(upload)
    if head.startswith(_PICKLE_MAGIC):
        raise UnsupportedMediaError(f"pickled models are not accepted. {_HINT}")
    if head[8:9] == b"{":  # safetensors: the length of a header, and the header, which is JSON
        if architecture is None:
            raise InvalidInputError(
                "a safetensors file needs 'architecture', such as torchvision/resnet18"
            )
        return "safetensors"
    if architecture is not None:
        raise InvalidInputError("'architecture' belongs to a safetensors file, and this is none")
    if not head.startswith(_ZIP_MAGIC):
        raise UnsupportedMediaError(f"this is not a .pt2 file. {_HINT}")
    return "pt2"


def check_dataset(upload: Upload) -> str:
    """Return ``npz``, ``zip``, ``tar`` (plain or gzipped) or ``parquet``, by the first bytes.

    Raises:
        UnsupportedMediaError: It is none of them.
    """
    head = _head(upload)
    if head.startswith(_ZIP_MAGIC):
        # Both are zip archives; an array's member name ends in .npy, and comes first in the file.
        name_length = int.from_bytes(head[26:28], "little")
        return "npz" if head[30 : 30 + name_length].endswith(b".npy") else "zip"
    if head.startswith(_PARQUET_MAGIC):
        return "parquet"
    # Whether a tar is inside the gzip is the worker's to say.
    if head.startswith(_GZIP_MAGIC) or head[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC):
        return "tar"
    if head.startswith(_REFUSED_COMPRESSIONS):
        raise UnsupportedMediaError("a compressed tar must be a .tar.gz")
    raise UnsupportedMediaError(
        "a data set is a .npz file with x and y, a .zip, .tar or .tar.gz of class folders of "
        "images, or a .parquet file with image bytes"
    )


@asynccontextmanager
async def _receive(
    chunks: AsyncIterator[bytes], folder: Path, limit: int, filename: str | None
) -> AsyncIterator[Upload]:
    await run_in_threadpool(folder.mkdir, parents=True, exist_ok=True)
    path = folder / f"{secrets.token_hex(16)}.partial"
    digest, num_bytes = hashlib.sha256(), 0
    try:
        with path.open("wb") as file:  # written in the thread pool below
            async for chunk in chunks:
                num_bytes += len(chunk)
                if num_bytes > limit:
                    raise TooLargeError(f"the file has more than the {limit} bytes accepted")
                digest.update(chunk)
                await run_in_threadpool(file.write, chunk)
        if num_bytes == 0:
            raise InvalidInputError("the file is empty")
        name = filename[:_MAX_FILENAME] if filename else None
        yield Upload(path, digest.hexdigest(), num_bytes, name)
    finally:
        path.unlink(missing_ok=True)  # one system call


def _check_digest(request: Request, upload: Upload) -> None:
    sent = request.headers.get("content-digest")
    if sent is None:
        return
    match = _DIGEST.search(sent)
    if match is None:
        raise InvalidInputError("Content-Digest must be sha-256=:<base64>:")
    actual = base64.b64encode(bytes.fromhex(upload.sha256)).decode()
    if match[1] != actual:
        raise InvalidInputError(f"the body has SHA-256 {actual}, Content-Digest says {match[1]}")


def _head(upload: Upload) -> bytes:
    with upload.path.open("rb") as file:
        return file.read(512)

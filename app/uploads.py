"""Files on their way in: streamed to disk under a running SHA-256, visible only when whole."""

import base64
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from fastapi import Request

from app.contracts.errors import InvalidInputError, UnsupportedMediaError
from app.contracts.settings import Settings
from app.contracts.spec import ArchitectureSpec
from app.forms import Form, FormLimits, receive_form
from app.spool import Spool, Upload

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


@asynccontextmanager
async def receive_upload(  # where it goes, and what it may be
    request: Request,
    settings: Settings,
    limit: int,
    filename: str | None,
    *names: str,
) -> AsyncIterator[Upload]:
    """Receive a file that is the raw body, or the form field with one of ``names``.

    Raises:
        TooLargeError: It is larger than ``limit``.
        InvalidInputError: It is missing, empty, or not what ``Content-Digest`` says.
    """
    if is_multipart(request):
        async with receive_files(request, settings, dict.fromkeys(names, limit)) as form:
            if len(form.files) != 1:
                raise InvalidInputError(
                    f"the form has {len(form.files)} files; one is expected, as {names[0]!r}"
                )
            yield next(iter(form.files.values()))
    else:
        async with _receive_body(request, settings.scratch_dir, limit, filename) as upload:
            yield upload


def receive_files(
    request: Request, settings: Settings, files: Mapping[str, int]
) -> AbstractAsyncContextManager[Form]:
    """Receive a form with some of ``files``, whose values are what is accepted of each."""
    limits = FormLimits(files, settings.http.form_fields, settings.limits.json_bytes)
    return receive_form(request, uploads_folder(settings.scratch_dir), limits)


@asynccontextmanager
async def _receive_body(
    request: Request, scratch: Path, limit: int, filename: str | None
) -> AsyncIterator[Upload]:
    expected = _expected_digest(request)
    spool = Spool(uploads_folder(scratch), limit, filename)
    try:
        async for chunk in request.stream():
            await spool.write(chunk)
        upload = await spool.finish()
        if expected is not None:
            _check_digest(upload, expected)
        yield upload
    finally:
        spool.discard()


def uploads_folder(scratch: Path) -> Path:
    """Return where files lie while they arrive; `app.contracts.garbage` empties it."""
    return scratch / "uploads"


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


def _expected_digest(request: Request) -> str | None:
    """Return the SHA-256 that the client promises, in base64 (RFC 9530), before it sends it."""
    sent = request.headers.get("content-digest")
    if sent is None:
        return None
    match = _DIGEST.search(sent)
    if match is None:
        raise InvalidInputError("Content-Digest must be sha-256=:<base64>:")
    return match[1]


def _check_digest(upload: Upload, expected: str) -> None:
    actual = base64.b64encode(bytes.fromhex(upload.sha256)).decode()
    if expected != actual:
        raise InvalidInputError(
            f"the body has SHA-256 {actual}, Content-Digest says {expected}",
        )


def _head(upload: Upload) -> bytes:
    with upload.path.open("rb") as file:
        return file.read(512)

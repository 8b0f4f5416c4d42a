"""Uploads: streamed to disk with a running SHA-256, visible only when complete."""

import base64
import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Literal

from fastapi import Request

from app.contracts.errors import InvalidInputError, UnsupportedMediaError
from app.contracts.settings import Settings
from app.contracts.spec import ArchitectureSpec
from app.forms import FileRule, Form, FormLimits, receive_form
from app.spool import Check, Room, Spool, Upload
from secateur.core.files import (
    HEAD_BYTES,
    WrongFileError,
    check,
    check_beginning,
    kind_of,
)
from secateur.core.formats import MODEL_FORMATS, Use, alternatives, needs_architecture

_DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/=]{44}):")
_TAIL_BYTES = 256 * 1024


@asynccontextmanager
async def receive_upload(  # noqa: PLR0913  # the limits and checks of one upload
    request: Request,
    settings: Settings,
    limit: int,
    filename: str | None,
    use: Use | Literal["latencies"],
    in_query: Collection[str] = (),
    *,
    room: Room | None = None,
    architecture: str | None = None,
) -> AsyncIterator[Upload]:
    """Receive a file as the raw body or as the part ``file`` (or ``use``) of a form.

    A file of a wrong format is refused as soon as its first bytes arrive.

    Raises:
        TooLargeError: The file is larger than ``limit``.
        UnsupportedMediaError: The format is not accepted for ``use``.
        InvalidInputError: The file is missing, empty, or does not match ``Content-Digest``.
    """
    # A text has no first bytes to know it by; it is read whole, with better messages.
    check = None if use == "latencies" else beginning_check(use, architecture)
    if is_multipart(request):
        rules = dict.fromkeys(("file", use), FileRule(limit, check))
        async with receive_files(request, settings, rules, in_query=in_query, room=room) as form:
            for name, text in form.fields.items():
                raise not_a_file(name, text)
            if len(form.files) != 1:
                raise InvalidInputError(
                    f"the form has {len(form.files)} files; one is expected, as 'file'"
                )
            yield next(iter(form.files.values()))
    else:
        async with _receive_body(
            request, settings.scratch_dir, limit, filename, check, room
        ) as upload:
            yield upload


def receive_files(  # as `receive_upload`
    request: Request,
    settings: Settings,
    files: Mapping[str, FileRule],
    texts: Collection[str] = (),
    in_query: Collection[str] = (),
    room: Room | None = None,
) -> AbstractAsyncContextManager[Form]:
    """Receive a form with some of ``files`` and ``texts``."""
    limits = FormLimits(
        files,
        frozenset(texts),
        frozenset(in_query),
        settings.http.form_fields,
        settings.limits.json_bytes,
    )
    return receive_form(request, uploads_folder(settings.scratch_dir), limits, room)


def beginning_check(use: Use, architecture: str | None = None) -> Check:
    """Return the check of the first bytes of a file for ``use``."""

    def look(head: bytes, name: str | None) -> None:
        try:
            check_beginning(head, use, name)
        except WrongFileError as error:
            raise UnsupportedMediaError(str(error)) from error
        kind = kind_of(head)
        if (
            use == "model"
            and kind is not None
            and needs_architecture(kind.name)
            and not architecture
        ):
            raise _architecture_error(kind.name)

    return look


@asynccontextmanager
async def _receive_body(
    request: Request,
    scratch: Path,
    limit: int,
    filename: str | None,
    check: Check | None,
    room: Room | None,
) -> AsyncIterator[Upload]:
    expected = _expected_digest(request)
    spool = Spool(uploads_folder(scratch), limit, filename, check, room)
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
    """Return the folder of incoming files; `app.objects.garbage` empties it."""
    return scratch / "uploads"


def is_multipart(request: Request) -> bool:
    """Return whether the body is a form."""
    return request.headers.get("content-type", "").startswith("multipart/form-data")


def check_model(upload: Upload, architecture: ArchitectureSpec | None) -> str:
    """Return the name in `MODEL_FORMATS` of a file's format; the worker parses the file.

    Raises:
        UnsupportedMediaError: The format is unknown.
        InvalidInputError: Weights without an architecture, or an architecture without weights.
    """
    name = _check(upload, "model")
    if needs_architecture(name) and architecture is None:
        raise _architecture_error(name)
    if architecture is not None and not needs_architecture(name):
        takers = alternatives(each for each in MODEL_FORMATS if needs_architecture(each))
        raise InvalidInputError(f"'architecture' is only valid for a {takers} file")
    return name


def check_dataset(upload: Upload) -> str:
    """Return the name in `DATASET_FORMATS` of a file's format; the worker parses the file.

    Raises:
        UnsupportedMediaError: The format is unknown.
    """
    return _check(upload, "dataset")


def _architecture_error(name: str) -> InvalidInputError:
    return InvalidInputError(f"a {name} file needs 'architecture', such as torchvision/resnet18")


def _check(upload: Upload, use: Use) -> str:
    with upload.path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        file.seek(max(0, file.seek(0, 2) - _TAIL_BYTES))
        tail = file.read()
    try:
        return check(head, tail, use, upload.filename).name
    except WrongFileError as error:
        raise UnsupportedMediaError(str(error)) from error


def not_a_file(name: str, text: str) -> InvalidInputError:
    """Return the error for text in place of a file: users forget curl's `@`."""
    return InvalidInputError(
        f"{name!r} of the form is text ({text[:64]!r}), but a file is expected: with curl, "
        f"-F {name}=@{text[:64].removeprefix('@') or 'FILE'}"
    )


def _expected_digest(request: Request) -> str | None:
    """Return the base64 SHA-256 in the request's ``Content-Digest`` (RFC 9530)."""
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
            f"the body has SHA-256 {actual}, but Content-Digest is {expected}",
        )

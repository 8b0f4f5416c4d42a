"""Multipart forms. Files stream to the upload folder as they arrive, never through memory.

Starlette's parser keeps a megabyte of every file in memory and writes the rest twice.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from app.contracts.errors import InvalidInputError, TooLargeError
from app.contracts.suggestions import suggestion
from app.http.errors import BadRequestError
from app.spool import Check, Room, Spool, Upload
from app.text import decode_text

MAX_PART_HEADERS = 8
MAX_PART_HEADER_BYTES = 4096
# Names of these parts in other services.
_OTHER_NAMES = {
    "data": "dataset", "images": "dataset", "samples": "dataset", "train": "dataset",
    "network": "model", "net": "model", "weights": "model", "checkpoint": "model",
    "json": "config", "options": "config", "settings": "config", "params": "config",
    "upload": "file", "body": "file", "normalize": "preprocess", "transform": "preprocess",
}  # fmt: skip


@dataclass(frozen=True)
class FileRule:
    """Limits of one file in a form.

    Attributes:
        num_bytes: Largest size.
        check: Called with the file's first bytes.
    """

    num_bytes: int
    check: Check | None = None


@dataclass(frozen=True)
class FormLimits:
    """Limits of a form.

    Attributes:
        files: File limits by the name of the part.
        texts: Names of text parts, with or without a filename.
        in_query: Names that belong in the URL's query.
        num_fields: Maximum number of text fields.
        field_bytes: Maximum size of one text field.
    """

    files: Mapping[str, FileRule]
    texts: frozenset[str]
    in_query: frozenset[str]
    num_fields: int
    field_bytes: int


@dataclass(frozen=True)
class Form:
    """Contents of a form.

    A file part sent as text, such as an id, is among the fields.
    """

    fields: Mapping[str, str]
    files: Mapping[str, Upload]


@asynccontextmanager
async def receive_form(
    request: Request, folder: Path, limits: FormLimits, room: Room | None = None
) -> AsyncIterator[Form]:
    """Receive a form. Its files exist until the block ends; ``room`` counts their bytes.

    Raises:
        BadRequestError: The body is not multipart (RFC 7578).
        InvalidInputError: A file or field is unexpected or repeated.
        TooLargeError: A limit is exceeded.
    """
    reader = _Reader(folder, limits, room)
    try:
        parser = reader.parser(request.headers.get("content-type", ""))
        async for chunk in request.stream():
            try:
                parser.write(chunk)
            except FormParserError as error:
                raise BadRequestError(f"the form cannot be read: {error}") from error
            await reader.write_pending()
        if not reader.has_ended:
            raise BadRequestError("the form ends in the middle of a part")
        yield await reader.finish()
    finally:
        reader.discard()


@dataclass
class _Reader:
    """Parser callbacks. They are synchronous, so asynchronous work is queued."""

    folder: Path
    limits: FormLimits
    room: Room | None
    has_ended: bool = False
    _fields: dict[str, bytearray] = field(default_factory=dict)
    _spools: dict[str, Spool] = field(default_factory=dict)
    _pending: list[tuple[Spool, bytes]] = field(default_factory=list)
    _header: tuple[bytes, bytes] = (b"", b"")
    _disposition: bytes | None = None
    _target: "bytearray | Spool | None" = None

    def parser(self, content_type: str) -> MultipartParser:
        """Return a parser that calls this reader.

        Raises:
            BadRequestError: The boundary is missing or invalid.
        """
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise BadRequestError("the form's Content-Type names no boundary")
        try:
            return MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._part_data,
                    "on_end": self._end,
                },
                max_header_count=MAX_PART_HEADERS,
                max_header_size=MAX_PART_HEADER_BYTES,
            )
        except FormParserError as error:
            raise BadRequestError(f"the form cannot be read: {error}") from error

    async def write_pending(self) -> None:
        for spool, data in self._pending:
            await spool.write(data)
        self._pending.clear()

    async def finish(self) -> Form:
        fields = {name: _decoded(bytes(data), name) for name, data in self._fields.items()}
        spools = {name: spool for name, spool in self._spools.items() if not spool.is_unused}
        return Form(fields, {name: await spool.finish() for name, spool in spools.items()})

    def discard(self) -> None:
        for spool in self._spools.values():
            spool.discard()

    def _begin_part(self) -> None:
        self._header, self._disposition, self._target = (b"", b""), None, None

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0] + data[start:end], self._header[1])

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._header = (self._header[0], self._header[1] + data[start:end])

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = value
        self._header = (b"", b"")

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise BadRequestError("a part of the form has no name")
        name = _name(options[b"name"], "name")
        if name in self._fields or name in self._spools:
            raise InvalidInputError(f"the form has two parts named {name[:64]!r}")
        is_file = b"filename" in options and name not in self.limits.texts
        if is_file and name in self.limits.files:
            filename = _name(options[b"filename"], "filename")
            self._target = self._begin_file(name, filename)
        elif name in self.limits.texts or (name in self.limits.files and not is_file):
            self._target = self._begin_field(name)
        else:
            raise self._unknown(name)

    def _begin_file(self, name: str, filename: str) -> Spool:
        rule = self.limits.files[name]
        self._spools[name] = Spool(self.folder, rule.num_bytes, filename, rule.check, self.room)
        return self._spools[name]

    def _begin_field(self, name: str) -> bytearray:
        if len(self._fields) >= self.limits.num_fields:
            raise TooLargeError(f"the form has more than {self.limits.num_fields} fields")
        self._fields[name] = bytearray()
        return self._fields[name]

    def _unknown(self, name: str) -> InvalidInputError:
        shown = repr(name[:64])
        if name in self.limits.in_query:
            return InvalidInputError(f"{shown} belongs in the URL, not in the form: ?{name}=…")
        known = [*self.limits.files, *self.limits.texts]
        names = " and ".join(filter(None, [", ".join(map(repr, known[:-1])), repr(known[-1])]))
        meant = suggestion(name, known, {k: v for k, v in _OTHER_NAMES.items() if v in known})
        return InvalidInputError(f"the form has an unknown part {shown}{meant or '.'} Use {names}")

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if isinstance(self._target, Spool):
            self._pending.append((self._target, data[start:end]))
        elif self._target is not None:
            self._target += data[start:end]
            if len(self._target) > self.limits.field_bytes:
                most = self.limits.field_bytes
                raise TooLargeError(f"a field of the form has more than {most} bytes, the limit")

    def _end(self) -> None:
        self.has_ended = True


def _name(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"the {what} of a part of the form is not UTF-8") from error


def _decoded(data: bytes, what: str) -> str:
    try:
        return decode_text(data)
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{what[:64]!r} of the form is not UTF-8") from error

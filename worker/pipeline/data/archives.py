"""Zip and tar archives of image files: listed and checked first, then read member by member.

Anything only a hostile archive contains is refused: links, devices, absolute and parent paths,
duplicate members, members that inflate too far. No file is ever written under a name taken from
the archive.
"""

import gzip
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from app.contracts.images import SUFFIXES
from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
from secateur.engine.files.zips import find_overlap, open_zip_file

_SMALL_BYTES = 1024
_CHUNK_BYTES = 1024**2
_BLOCK_BYTES = 512
_ENCRYPTED, _UTF8 = 0x1, 0x800  # flag bits of a zip entry
_GZIP = b"\x1f\x8b"
_REFUSED = {b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstandard"}
# Exceptions the standard library lets through for files that are not archives, or damaged ones.
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    EOFError,
    OSError,  # a seek to before the beginning
    ValueError,
    OverflowError,
    NotImplementedError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in an archive.

    Attributes:
        name: Path as written in the archive.
        num_bytes: Uncompressed size.
        position: Byte offset in a tar, or index of the entry in a zip.
    """

    name: str
    num_bytes: int
    position: int


@dataclass(frozen=True)
class Archive:
    """The files of an archive, and a function that reads one.

    Attributes:
        kind: ``zip`` or ``tar``.
        members: Regular files.
        folders: Names of the folders that have an entry of their own.
        read: Return the content of a member; raise if it exceeds a limit.
    """

    kind: str
    members: list[Member]
    folders: list[str]
    read: Callable[[Member], bytes]


@contextmanager
def open_zip(path: Path, limits: LimitSettings) -> Iterator[Archive]:
    """List the members of a zip.

    Raises:
        DataError: The file is not a zip, is damaged, or contains an entry that is not accepted.
        DataTooLargeError: A limit is exceeded.
    """
    with path.open("rb") as source:
        with reading("zip"):
            archive = open_zip_file(source, limits.dataset_members, DataTooLargeError)
        check_no_overlap("zip", archive.infolist(), path)
        entries = archive.infolist()
        # Windows' own archiver writes backslashes.
        folders = [_name(info) for info in entries if info.filename.endswith(("/", "\\"))]
        infos = [info for info in entries if not info.filename.endswith(("/", "\\"))]
        _check_total("zip", len(infos), sum(info.file_size for info in infos), limits)
        for info in infos:
            _check_zip_member(info, limits)

        def read(member: Member) -> bytes:
            with reading("zip"), archive.open(infos[member.position]) as file:
                return file.read(member.num_bytes + 1)

        members = [Member(_name(info), info.file_size, i) for i, info in enumerate(infos)]
        yield Archive("zip", members, folders, read)


@contextmanager
def open_tar(path: Path, scratch: Path, limits: LimitSettings) -> Iterator[Archive]:
    """List the members of a tar; inflate a gzipped one into ``scratch`` first to allow seeking.

    Raises:
        DataError: The file is not a tar, is damaged, or contains an entry that is not accepted.
        DataTooLargeError: A limit is exceeded.
    """
    with path.open("rb") as file:
        head = file.read(6)
    for magic, name in _REFUSED.items():
        if head.startswith(magic):
            raise DataError(f"the tar is compressed with {name}; plain and gzip are accepted")
    if head.startswith(_GZIP):
        plain = scratch / "inflated.tar"
        _inflate(path, plain, limits)
    else:
        plain = path
    folders: list[str] = []
    with plain.open("rb", buffering=0) as file:
        with reading("tar"):
            members = list(_tar_members(file, folders, limits))
        yield Archive("tar", members, folders, lambda member: _read_at(file, member))
    if plain is not path:
        plain.unlink()


@contextmanager
def reading(kind: str) -> Iterator[None]:
    """Translate the standard library's errors about damaged archives; wrap only reads in this.

    Raises:
        DataError: The archive is damaged.
    """
    try:
        yield
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(f"the data set is not a {kind} file, or a damaged one") from error


def check_readable(info: zipfile.ZipInfo) -> None:
    """Raise `DataError` if a zip entry is encrypted or uses a method other than deflate."""
    shown = repr(info.filename[:80])
    if info.flag_bits & _ENCRYPTED:
        raise DataError(f"entry {shown} is encrypted")
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise DataError(f"entry {shown} uses an unsupported compression method; use deflate")


def check_no_overlap(kind: str, infos: list[zipfile.ZipInfo], path: Path) -> None:
    """Raise `DataError` if two zip entries overlap, or one lies outside the file."""
    overlapping = find_overlap(infos, path.stat().st_size)
    if overlapping is not None:
        shown = repr(overlapping.filename[:80])
        raise DataError(f"entry {shown} of the {kind} overlaps another, or the end of the file")


def _check_total(kind: str, num_members: int, num_bytes: int, limits: LimitSettings) -> None:
    if num_members == 0:
        raise DataError(f"the {kind} has 0 files")
    if num_members > limits.dataset_members:
        raise DataTooLargeError(
            f"the {kind} has {num_members} files, at most {limits.dataset_members}"
        )
    if num_bytes > limits.unpacked_bytes:
        raise DataTooLargeError(
            f"the {kind} holds {num_bytes} bytes, at most {limits.unpacked_bytes}"
        )


def _check_zip_member(info: zipfile.ZipInfo, limits: LimitSettings) -> None:
    if not info.filename:
        raise DataError("an entry of the zip has no name")
    shown = repr(info.filename[:80])
    check_readable(info)
    if stat.S_ISLNK(info.external_attr >> 16):
        raise DataError(f"entry {shown} is a link")
    most = _most_bytes(info.filename, limits)
    if most == limits.image_file_bytes:
        most = min(most, limits.inflate_ratio * max(_SMALL_BYTES, info.compress_size))
    if info.file_size > most:
        raise DataTooLargeError(f"entry {shown} is {info.file_size} bytes, at most {most}")


def _most_bytes(name: str, limits: LimitSettings) -> int:
    """Return the size limit of a file; files other than images are never read."""
    is_image = PurePosixPath(name).suffix.lower() in SUFFIXES
    return limits.image_file_bytes if is_image else limits.unpacked_bytes


def _name(info: zipfile.ZipInfo) -> str:
    """Return an entry's name; macOS writes UTF-8 without setting the flag."""
    if info.flag_bits & _UTF8 or info.filename.isascii():
        return info.filename
    try:
        return info.filename.encode("cp437").decode("utf-8")
    except UnicodeError:
        return info.filename


def _inflate(source: Path, target: Path, limits: LimitSettings) -> None:
    num_packed = max(_CHUNK_BYTES, source.stat().st_size)
    most = min(limits.unpacked_bytes, limits.inflate_ratio * num_packed)
    num_bytes = 0
    with gzip.open(source) as file, target.open("wb") as out:
        while chunk := _read_chunk(file):
            num_bytes += len(chunk)
            if num_bytes > most:
                raise DataTooLargeError(f"the tar inflates to more than {most} bytes")
            out.write(chunk)


def _read_chunk(file: gzip.GzipFile) -> bytes:
    with reading("tar"):
        return file.read(_CHUNK_BYTES)


class _ShortReads:
    """File that limits a single read: `tarfile` reads as many bytes as a header claims."""

    def __init__(self, file: BinaryIO) -> None:
        self.seek, self.tell = file.seek, file.tell
        self._read = file.read

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes."""
        if not 0 <= size <= _CHUNK_BYTES:
            raise DataTooLargeError(f"the tar has a header of {size} bytes, at most {_CHUNK_BYTES}")
        return self._read(size)


def _tar_members(file: BinaryIO, folders: list[str], limits: LimitSettings) -> Iterator[Member]:
    num_members, total = 0, 0
    with tarfile.open(fileobj=_ShortReads(file), mode="r:") as archive:  # type: ignore[call-overload]
        while (info := archive.next()) is not None:
            archive.members.clear()  # tarfile would keep every header in memory
            num_members += 1
            _check_total("tar", num_members, total, limits)
            if info.isdir():
                folders.append(info.name)
                continue
            shown = repr(info.name[:80])
            if info.issym() or info.islnk():
                raise DataError(f"entry {shown} is a link")
            if not info.isreg() or info.issparse():
                raise DataError(f"entry {shown} is a device, a pipe or a sparse file")
            most = _most_bytes(info.name, limits)
            if not 0 <= info.size <= most:
                raise DataTooLargeError(f"entry {shown} is {info.size} bytes, at most {most}")
            total += info.size
            _check_total("tar", num_members, total, limits)
            yield Member(info.name, info.size, info.offset_data)
        end = os.pread(file.fileno(), _BLOCK_BYTES, archive.offset)
        is_cut = archive.offset > os.fstat(file.fileno()).st_size
    _check_total("tar", num_members, total, limits)
    if is_cut or end.strip(b"\0"):  # tarfile stops at a damaged header as if it were the end
        raise DataError(f"the tar is damaged at byte {archive.offset}")


def _read_at(file: BinaryIO, member: Member) -> bytes:
    data = os.pread(file.fileno(), member.num_bytes, member.position)
    if len(data) != member.num_bytes:
        raise DataError(f"entry {member.name[:80]!r} ends too early")
    return data

"""Stored files as one zip archive, written while they are read."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from zipfile import ZIP_STORED, ZipFile, ZipInfo

_ZIP64_BYTES = 2**31 - 1


class Member(NamedTuple):
    """One file of an archive."""

    name: str
    num_bytes: int
    chunks: Iterator[bytes]


class _Sink:
    """File that keeps what is written until it is taken; `ZipFile` finds that it cannot seek."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Do nothing: `take` returns everything."""

    def take(self) -> bytes:
        found = b"".join(self._parts)
        self._parts.clear()
        return found


def stream_zip(members: Iterable[Member]) -> Iterator[bytes]:
    """Yield a zip archive of files without compression: weights do not compress.

    Equal files give equal bytes; the archive holds no times.
    """
    sink = _Sink()
    with ZipFile(sink, "w", ZIP_STORED) as archive:  # type: ignore[call-overload]  # a sink only writes
        for member in members:
            info = ZipInfo(member.name)
            is_large = member.num_bytes > _ZIP64_BYTES
            with archive.open(info, "w", force_zip64=is_large) as entry:
                for chunk in member.chunks:
                    entry.write(chunk)
                    yield sink.take()
    yield sink.take()

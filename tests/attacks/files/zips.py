"""Zip archives built byte by byte, with everything a correct writer avoids."""

import struct
import zlib
from dataclasses import dataclass

STORED, DEFLATED = 0, 8


@dataclass
class Entry:
    """One entry; fields that are None get their correct values.

    Attributes:
        name: As it stands in the directory.
        data: Its bytes, packed.
        method: 0 stored, 8 deflated.
        flags: 1 encrypted.
        size: Told, unpacked.
        packed_size: Told.
        crc: Told.
        offset: Told, of the local header.
        local_name: In the local header.
        extra: In the directory.
        mode: Unix file type and permissions.
    """

    name: bytes
    data: bytes = b""
    method: int = STORED
    flags: int = 0
    size: int | None = None
    packed_size: int | None = None
    crc: int | None = None
    offset: int | None = None
    local_name: bytes | None = None
    extra: bytes = b""
    mode: int = 0


def deflated(name: bytes, data: bytes) -> Entry:
    """Return an entry that inflates to ``data``."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(data) + packer.flush()
    return Entry(name, packed, DEFLATED, size=len(data), crc=zlib.crc32(data))


def zip64(size: int, packed_size: int, offset: int | None = None) -> bytes:
    """Return an extra field with 64-bit sizes."""
    values = [size, packed_size, *([] if offset is None else [offset])]
    return struct.pack("<HH", 1, 8 * len(values)) + b"".join(struct.pack("<Q", v) for v in values)


def written(
    entries: list[Entry],
    *,
    comment: bytes = b"",
    prefix: bytes = b"",
    num_entries: int | None = None,
    directory_size: int | None = None,
    directory_offset: int | None = None,
) -> bytes:
    """Return an archive of ``entries``."""
    body, directory = bytearray(), bytearray()
    for entry in entries:
        size = len(entry.data) if entry.size is None else entry.size
        packed = len(entry.data) if entry.packed_size is None else entry.packed_size
        crc = zlib.crc32(entry.data) if entry.crc is None else entry.crc
        offset = len(body) if entry.offset is None else entry.offset
        local = entry.name if entry.local_name is None else entry.local_name
        common = struct.pack("<HHHHHIII", 20, entry.flags, entry.method, 0, 33, crc, packed, size)
        if entry.offset is None:
            body += b"PK\x03\x04" + common + struct.pack("<HH", len(local), 0) + local + entry.data
        lengths = struct.pack("<HHHHHII", len(entry.name), len(entry.extra), 0, 0, 0,
                              entry.mode << 16, offset)  # fmt: skip
        directory += b"PK\x01\x02\x14\x03" + common + lengths + entry.name + entry.extra
    count = len(entries) if num_entries is None else num_entries
    end = struct.pack(
        "<HHHHIIH",
        0,
        0,
        min(count, 0xFFFF),
        min(count, 0xFFFF),
        len(directory) if directory_size is None else directory_size,
        len(body) if directory_offset is None else directory_offset,
        len(comment),
    )
    return prefix + bytes(body) + bytes(directory) + b"PK\x05\x06" + end + comment

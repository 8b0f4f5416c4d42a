"""Thrift's compact protocol, as much as the footer of a Parquet file needs."""

import struct

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
MAGIC = b"PAR1"


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found, number = found + bytes([number & 127 | 128]), number >> 7
    return found + bytes([number])


def integer(number: int) -> bytes:
    return varint((number << 1) ^ (number >> 63))


def text(data: bytes) -> bytes:
    return varint(len(data)) + data


def sequence(kind: int, items: list[bytes], told: int | None = None) -> bytes:
    return bytes([0xF0 | kind]) + varint(len(items) if told is None else told) + b"".join(items)


def record(*fields: tuple[int, int, bytes]) -> bytes:
    """Return a struct of fields (number, kind, value)."""
    found, last = b"", 0
    for number, kind, value in fields:
        found += bytes([(number - last) << 4 | kind]) + value
        last = number
    return found + b"\0"


def element(name: bytes, num_children: int | None = None, kind: int = 6) -> bytes:
    """Return one element of a schema; without children, a column."""
    what = [] if num_children is not None else [(1, I32, integer(kind))]
    children = [] if num_children is None else [(5, I32, integer(num_children))]
    return record(*what, (3, I32, integer(1)), (4, BINARY, text(name)), *children)


def parquet(schema: list[bytes], num_rows: int, groups: bytes | None = None) -> bytes:
    """Return a file that has only a footer."""
    footer = record(
        (1, I32, integer(1)),
        (2, LIST, sequence(STRUCT, schema)),
        (3, I64, integer(num_rows)),
        (4, LIST, sequence(STRUCT, []) if groups is None else groups),
    )
    return MAGIC + footer + struct.pack("<I", len(footer)) + MAGIC

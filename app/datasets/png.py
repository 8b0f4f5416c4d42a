"""PNG files from raw pixels (ISO/IEC 15948), without a library that also reads pictures."""

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BITS = 8
_COLOUR_TYPES = {1: 0, 3: 2}  # number of channels: greyscale, RGB


def encode_png(pixels: bytes, height: int, width: int, channels: int) -> bytes:
    """Return the file of an image, given as rows of bytes."""
    row_bytes = width * channels
    starts = range(0, height * row_bytes, row_bytes)
    rows = b"".join(b"\0" + pixels[start : start + row_bytes] for start in starts)  # 0: no filter
    head = struct.pack(">IIBBBBB", width, height, _BITS, _COLOUR_TYPES[channels], 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

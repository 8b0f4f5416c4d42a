"""Image files built byte by byte, valid and invalid."""

import io
import struct
import zlib

from PIL import Image


def png(size: tuple[int, int] = (4, 4), mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, "PNG")
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(
    width: int,
    height: int,
    pixels: bytes,
    *more: bytes,
    depth: int = 8,
    colours: int = 0,
) -> bytes:
    """Return a PNG with the given header; ``pixels`` are the decompressed data."""
    head = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(pixels, 9))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def animated(format_: str) -> bytes:
    frames = [Image.new("RGB", (4, 4), (i * 80, 0, 0)) for i in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, format_, save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def jpeg(exif: bytes = b"", size: tuple[int, int] = (4, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


def painted(num_scans: int, size: tuple[int, int]) -> bytes:
    """Return a progressive JPEG that repeats its last scan."""
    buffer = io.BytesIO()
    Image.new("L", size).save(buffer, "JPEG", progressive=True)
    whole = buffer.getvalue()
    last = whole[whole.rindex(b"\xff\xda") : -2]
    already = whole.count(b"\xff\xda")
    return whole[:-2] + last * (num_scans - already) + whole[-2:]


def saved(format_: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, format_)
    return buffer.getvalue()


def tiff(width: int, height: int = 4, pixels_at: int = 200, next_directory: int = 0) -> bytes:
    """Return a grey TIFF with one directory, at byte 8, that has the given entries."""
    entries = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 8),  # bits
        (259, 3, 1),  # no compression
        (262, 3, 1),  # black is 0
        (273, 4, pixels_at),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, width * height),
    ]
    directory = struct.pack("<H", len(entries))
    directory += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    data = b"II*\0" + struct.pack("<I", 8) + directory + struct.pack("<I", next_directory)
    return data.ljust(200, b"\0") + bytes(16)

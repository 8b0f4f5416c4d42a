"""Mutations of data sets: images, zips, tars, tables and arrays."""

import io
import random
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.attacks.files.payloads import pickle
from tests.attacks.files.zips import Entry, deflated, written
from tests.attacks.mutations.parts import Mutate, damaged, edit_directory

CHUNKS = (b"PLTE", b"tRNS", b"acTL", b"fcTL", b"iCCP", b"zTXt", b"eXIf")
TAR_KINDS = [bytes([kind]) for kind in b"0123567Sxg"]
PAX_VALUES = ("-1", "../x", str(2**63), "0,1,2", "\u0661")
DESCRS = (
    "'<f4'", "'|u1'", "'>i8'", "'|b1'", "'<U3'", "'|S4'", "'|O'", "'<m8'", "'<f2'", "'|V4'",
    "[('a','<f4')]", "('<f4',(2,))", "'<c8'", "'<f16'", "None", "7",
)  # fmt: skip
SHAPES = (
    "()", "(10,)", "(10, 4)", "(0,)", "(-1, 4)", "(10, 0)", "(2, 5, 1, 2)", f"(10, {2**62})",
    f"({2**40}, 0)", "(True, 4)", "(1.5,)", "None",
)  # fmt: skip


def data_sets(marker: Path) -> Mutate:
    """Return the mutations of images, alone and in zips, tars, Parquet and ``.npz`` files."""
    pictures = list(images())
    x = np.arange(160, dtype=np.uint8).reshape(10, 4, 4)
    arrays = {"x": x, "y": np.arange(10) % 3, "class_names": np.array(["a", "b", "c"])}

    def mutate(rng: random.Random) -> tuple[str, bytes]:
        kind = rng.choice(["zip", "zip", "zip", "tar", "parquet", "npz"])
        files = [rng.choice(pictures) for _ in range(4)]
        is_inner = rng.random() < 0.6  # the archive stays as it is
        if is_inner:
            number = rng.randrange(4)
            files[number] = broken_picture(rng, files[number])
        if kind == "zip":
            entries = [deflated(f"{i % 2}/{i}.png".encode(), f) for i, f in enumerate(files)]
            if not is_inner:
                edit_directory(rng, entries)
            return kind, written(entries)
        if kind == "tar":
            data = tar_of(rng, files, is_inner=is_inner)
        elif kind == "parquet":
            buffer = io.BytesIO()
            pq.write_table(pa.table({"image": files, "label": ["a", "b"] * 2}), buffer)
            data = buffer.getvalue()
        else:
            found = [Entry(f"{name}.npy".encode(), broken_array(rng, array) if is_inner
                           else npy(array)) for name, array in arrays.items()]  # fmt: skip
            if rng.random() < 0.05:
                found[0].data = pickle(marker)
            if not is_inner:
                edit_directory(rng, found)
            return kind, written(found)
        return kind, data if is_inner else damaged(rng, data)

    return mutate


def images() -> Iterator[bytes]:
    rng = np.random.default_rng(0)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"):
        pixels = rng.integers(0, 256, (9, 12, 3), np.uint8)
        image = Image.fromarray(pixels)
        image = Image.new("I;16", (12, 9), 77) if mode == "I;16" else image.convert(mode)
        for format_ in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM"):
            for options in ({}, {"progressive": True}, {"lossless": True}):
                buffer = io.BytesIO()
                try:
                    image.save(buffer, format_, exif=b"Exif\0\0II*\0\x08\0\0\0", **options)
                except (OSError, KeyError, ValueError):
                    continue  # a mode that the format does not have
                yield buffer.getvalue()


def broken_picture(rng: random.Random, data: bytes) -> bytes:
    """Damage an image; of PNG, also chunk by chunk with the right checksum."""
    if not data.startswith(b"\x89PNG") or rng.random() < 0.4:
        return damaged(rng, data)
    chunks, at = [], 8
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    number = rng.randrange(len(chunks))
    kind, body = chunks[number]
    choice = rng.randrange(4)
    if choice == 0:
        extra = rng.choice([*CHUNKS, kind]), rng.randbytes(rng.randrange(40))
        chunks.insert(number, extra)
    elif choice == 1:
        del chunks[number]
    else:
        chunks[number] = (kind, damaged(rng, body))
    out = b"".join(
        struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks
    )
    return data[:8] + out


def tar_of(rng: random.Random, files: list[bytes], *, is_inner: bool) -> bytes:
    buffer = io.BytesIO()
    format_ = rng.choice([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
    mode = "w" if rng.random() < 0.7 else "w:gz"
    with tarfile.open(fileobj=buffer, mode=mode, format=format_) as archive:  # type: ignore[call-overload]
        for number, file in enumerate(files):
            info = tarfile.TarInfo(f"{number % 2}/{number}.png")
            info.size = len(file)
            if not is_inner and rng.random() < 0.3:
                info.type = rng.choice(TAR_KINDS)
                key = rng.choice(["path", "size", "GNU.sparse.map", "hdrcharset"])
                info.pax_headers = {key: rng.choice(PAX_VALUES)}
            archive.addfile(info, io.BytesIO(file))
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array)
    return buffer.getvalue()


def broken_array(rng: random.Random, array: Any) -> bytes:
    """Give an array another header, or damage it."""
    data = npy(array)
    if rng.random() < 0.4:
        return damaged(rng, data)
    descr, shape = rng.choice(DESCRS), rng.choice(SHAPES)
    text = f"{{'descr': {descr}, 'fortran_order': {rng.choice(['True', 'False', '7'])}, "
    text += f"'shape': {shape}, }}"
    head = text.encode().ljust(117) + b"\n"
    body = rng.randbytes(rng.choice([0, 4, 10, 40, 80, 160, 320]))
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body

"""Data set files of every format, made in memory."""

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from app.contracts.settings import LimitSettings
from app.contracts.spec import PreprocessSpec, SplitSpec
from worker.pipeline.data import Dataset, open_dataset


def opened(
    folder: Path,
    data: bytes,
    kind: str = "npz",
    split: SplitSpec | None = None,
    task: str = "auto",
    **spec: Any,
) -> Dataset:
    """Open ``data`` with a scratch folder of its own."""
    scratch = folder / f"scratch{len(list(folder.iterdir()))}"
    scratch.mkdir()
    path = scratch / "data"
    path.write_bytes(data)
    return open_dataset(
        path,
        kind,
        PreprocessSpec(**spec),
        scratch,
        limits=LimitSettings(image_pixels=10_000),
        split=split or SplitSpec(),
        task=task,
    )


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(
    files: Mapping[str, bytes], mode: str = "w", *others: tarfile.TarInfo, **options: Any
) -> bytes:
    """Return a tar of ``files`` and, after them, of members without content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, **options) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in others:
            archive.addfile(info)
    return buffer.getvalue()


def parquet(metadata: dict[str, str] | None = None, **columns: Any) -> bytes:
    table = pa.table(columns).replace_schema_metadata(metadata)
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=7)
    return buffer.getvalue()


def png(value: int = 100, size: tuple[int, int] = (4, 4), mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else (value,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


def png_of(pixels: NDArray[np.uint8]) -> bytes:
    """Return an image (H, W) or (H, W, 3) as a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()

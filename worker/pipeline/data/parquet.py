"""Parquet files with image bytes, as Hugging Face writes them; read a few rows at a time.

`column_names` chooses the columns. Arrow holds about five pages of a column in memory, whatever
the file's size. Its writer makes pages of at least 1024 rows: 50 MB for images of 50 kB.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
from worker.pipeline.data.column_names import Columns, find_columns
from worker.pipeline.data.columns import LabelColumn, SplitColumn
from worker.pipeline.data.images import ImageTarget, decode_images
from worker.pipeline.data.labels import Labels
from worker.pipeline.data.left_out import leave_out
from worker.pipeline.data.object_column import ObjectColumn
from worker.pipeline.data.raw import RawData

Collector = LabelColumn | ObjectColumn | SplitColumn

_BATCH_ROWS = 8
_BUFFER_BYTES = 1024**2
_MAX_THRIFT_BYTES = 100 * 1024**2
_MAX_THRIFT_ITEMS = 1_000_000  # per list: schema elements, row groups, columns


def read_parquet(path: Path, target: ImageTarget, scratch: Path) -> RawData:
    """Return the images (N, C, H, W) of a Parquet file, in the order of its rows.

    Raises:
        DataError: A column is missing or has the wrong type, or an image cannot be decoded.
        DataTooLargeError: A limit is exceeded.
    """
    limits = target.limits
    with _reading():
        file = pq.ParquetFile(
            path,
            buffer_size=_BUFFER_BYTES,
            pre_buffer=False,
            thrift_string_size_limit=_MAX_THRIFT_BYTES,
            thrift_container_size_limit=_MAX_THRIFT_ITEMS,
        )
    with file:
        with _reading():
            schema = file.schema_arrow
            _check_sizes(file.metadata, path.stat().st_size, limits)
        columns = find_columns(schema)
        labels = _label_column(schema, columns, limits)
        objects = _object_column(columns, limits)
        if objects is not None and target.preprocess.fit is None:
            preprocess = target.preprocess.model_copy(update={"fit": "letterbox"})
            target = replace(target, preprocess=preprocess)
        split = SplitColumn() if columns.split else None
        collected = _collected(columns, labels, objects, split)
        files = _files(file, columns, collected, limits)
        num_rows = file.metadata.num_rows
        on_image = None if objects is None else objects.place
        rows, notes = decode_images(files, num_rows, target, scratch / "images.bin", on_image)
    found = Labels("none", None) if labels is None else labels.finish()
    if objects is not None:
        found = objects.finish(scratch / "labels.bin")
    left_out = leave_out("column", "not used", columns.unused)
    splits = None if split is None else split.finish()
    return RawData(rows, found, splits, notes, left_out, target.preprocess.fit)


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (DataError, MemoryError) as error:
        if isinstance(error, pa.ArrowMemoryError):  # a page declares its own size
            message = f"reading the Parquet file needs more memory than is available: {error}"
            raise DataTooLargeError(message) from error
        raise
    except (pa.ArrowException, OSError, ValueError) as error:  # names need not be UTF-8
        raise DataError("the data set is not a Parquet file, or a damaged one") from error


def _label_column(schema: Any, columns: Columns, limits: LimitSettings) -> LabelColumn | None:  # noqa: ANN401  # pyarrow has no types
    if columns.label is None:
        return None
    names = _checked_names(columns, limits)
    return LabelColumn(columns.label, schema.field(columns.label).type, names, limits)


def _object_column(columns: Columns, limits: LimitSettings) -> ObjectColumn | None:
    if columns.objects is None:
        return None
    return ObjectColumn(columns.objects, _checked_names(columns, limits), limits)


def _checked_names(columns: Columns, limits: LimitSettings) -> list[str] | None:
    names = columns.class_names
    if names is not None and len(names) > limits.classes:
        raise DataTooLargeError(f"the file names {len(names)} classes, at most {limits.classes}")
    return names


def _collected(
    columns: Columns,
    labels: LabelColumn | None,
    objects: ObjectColumn | None,
    split: SplitColumn | None,
) -> dict[str, Collector]:
    """Return the columns whose values are collected, by name."""
    pairs = ((columns.label, labels), (columns.objects, objects), ("split", split))
    return {name: each for name, each in pairs if name is not None and each is not None}


def _check_sizes(metadata: Any, num_bytes: int, limits: LimitSettings) -> None:  # noqa: ANN401  # likewise
    if metadata.num_rows <= 0:
        raise DataError(f"the Parquet file has {metadata.num_rows} rows")
    if metadata.num_rows > limits.samples:
        raise DataTooLargeError(
            f"the Parquet file has {metadata.num_rows} rows, 1 to {limits.samples} are accepted"
        )
    # Row groups only: reading the metadata of a damaged column crashes the process in pyarrow 26.
    total = sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))
    most = min(limits.unpacked_bytes, limits.inflate_ratio * max(_BUFFER_BYTES, num_bytes))
    if total > most:
        raise DataTooLargeError(f"the columns unpack to {total} bytes, at most {most}")


def _files(
    file: Any,  # noqa: ANN401  # likewise
    columns: Columns,
    collected: Mapping[str, Collector],
    limits: LimitSettings,
) -> Iterator[tuple[str, bytes]]:
    """Yield a name for messages and the bytes of each image; add labels and splits as it goes."""
    wanted = [columns.image_path, *collected]
    batches = file.iter_batches(_BATCH_ROWS, columns=wanted, use_threads=False)
    row = 0
    while True:
        with _reading():
            batch = next(batches, None)
            if batch is None:
                return
            for name, each in collected.items():
                each.add(batch.column(name))
        for scalar in batch.column(columns.image):
            yield f"in row {row}", _bytes(scalar.as_py(), row, limits)
            row += 1


def _bytes(value: Any, row: int, limits: LimitSettings) -> bytes:  # noqa: ANN401  # bytes, or a struct of them
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes) or not data:
        raise DataError(f"row {row} holds no image")
    most = limits.image_file_bytes
    if len(data) > most:
        raise DataTooLargeError(f"image in row {row} is {len(data)} bytes, at most {most}")
    return data

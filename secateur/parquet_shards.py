"""Joins the Parquet files of a data set on the Hugging Face Hub to the one file of an upload."""

import re
from collections.abc import Sequence
from pathlib import Path

from secateur.errors import SecateurError

_SHARD = re.compile(r"-\d+-of-\d+$")
_SPLIT = "split"


def join_shards(paths: Sequence[Path], target: Path) -> Path:
    """Write Parquet files as one, with a column ``split`` from their names; return its path.

    ``train-00000-of-00002.parquet`` is part of the split ``train``. A few rows are in memory at a
    time.

    Raises:
        SecateurError: The files have different columns, or pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  # optional
        import pyarrow.parquet as pq  # noqa: PLC0415  # optional
    except ImportError as error:
        raise SecateurError(
            f"joining {len(paths)} Parquet files needs pyarrow: pip install pyarrow, or name one "
            "of the files"
        ) from error
    schema = pq.read_schema(paths[0])
    has_split = _SPLIT in schema.names
    joined = schema if has_split else schema.append(pa.field(_SPLIT, pa.string()))
    with pq.ParquetWriter(target, joined) as writer:
        for path in paths:
            split = _SHARD.sub("", path.stem)
            with pq.ParquetFile(path) as file:
                if not file.schema_arrow.equals(schema):
                    raise SecateurError(
                        f"{path.name} has other columns than {paths[0].name}: name one of the files"
                    )
                for batch in file.iter_batches(batch_size=256):
                    columns = list(batch.columns)
                    if not has_split:
                        columns.append(pa.array([split] * batch.num_rows, pa.string()))
                    writer.write_batch(pa.record_batch(columns, schema=joined))
    return target

"""Hostile Parquet files: the footer is checked before a page is decompressed."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.attacks.files import thrift
from tests.attacks.files.payloads import expression, pickle
from tests.attacks.files.pictures import png
from tests.attacks.files.reading import READ, Case, Cases, ReadingChild, check

FORMAT = "parquet"
CASES = Cases(FORMAT)
refused, harmless = CASES.refused, CASES.harmless
DAMAGED = "not a Parquet file, or a damaged one"
IMAGES = [png()] * 20
LABELS = [i % 4 for i in range(20)]


def table(metadata: dict[str, str] | None = None, **columns: Any) -> bytes:
    buffer = io.BytesIO()
    found = pa.table(columns).replace_schema_metadata(metadata)
    pq.write_table(found, buffer, compression="zstd")
    return buffer.getvalue()


@refused("data_error", DAMAGED)
def a_pickle(marker: Path) -> bytes:
    return pickle(marker)


@refused("data_error", "image in row 0 cannot be decoded")
def pickles_for_images(marker: Path) -> bytes:
    return table(image=[pickle(marker)] * 20)


@harmless
def metadata_that_is_code(marker: Path) -> bytes:
    """Arrow's schema in base64, and metadata that pandas might unpickle."""
    evil = expression(marker)
    return table({"huggingface": evil, "pandas": evil, "ARROW:extension:name": evil}, image=IMAGES)


@refused("data_error", DAMAGED)
def a_schema_that_arrow_cannot_read(marker: Path) -> bytes:
    buffer = io.BytesIO()
    found = pa.table({"image": IMAGES})
    pq.write_table(found, buffer, store_schema=False)
    again = pq.read_table(io.BytesIO(buffer.getvalue()))
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, again.schema, store_schema=False) as writer:
        writer.write_table(again)
        writer.add_key_value_metadata({"ARROW:schema": pickle(marker).hex()})
    return buffer.getvalue()


@harmless
def class_names_that_nest_without_end(_marker: Path) -> bytes:
    return table({"huggingface": "[" * 100_000}, image=IMAGES, label=LABELS)


@refused("too_large", "the file names 100001 classes, at most 100000")
def a_hundred_thousand_class_names(_marker: Path) -> bytes:
    names = ["a"] * 100_001
    info = {"info": {"features": {"label": {"names": names}}}}
    return table({"huggingface": json.dumps(info)}, image=IMAGES, label=LABELS)


@refused("data_error", DAMAGED)
def a_schema_of_structs_in_structs(_marker: Path) -> bytes:
    groups = [thrift.element(b"image", 1)] * 50_000
    return thrift.parquet([thrift.element(b"schema", 1), *groups, thrift.element(b"bytes")], 1)


@refused("data_error", DAMAGED)
def a_group_of_a_billion_columns(_marker: Path) -> bytes:
    return thrift.parquet([thrift.element(b"schema", 10**9), thrift.element(b"image")], 1)


@refused("data_error", DAMAGED)
def a_group_of_minus_one_columns(_marker: Path) -> bytes:
    return thrift.parquet([thrift.element(b"schema", -1), thrift.element(b"image")], 1)


@refused("data_error", DAMAGED)
def a_list_of_two_billion_row_groups(_marker: Path) -> bytes:
    schema = [thrift.element(b"schema", 1), thrift.element(b"image")]
    return thrift.parquet(schema, 1, thrift.sequence(thrift.STRUCT, [], 2**31 - 1))


@refused("data_error", "declares 1000000")
def rows_that_are_nowhere(_marker: Path) -> bytes:
    schema = [thrift.element(b"schema", 1), thrift.element(b"image")]
    return thrift.parquet(schema, 1_000_000)


@refused("too_large", "9223372036854775807 rows, 1 to 10000000 are accepted")
def more_rows_than_can_be_counted(_marker: Path) -> bytes:
    schema = [thrift.element(b"schema", 1), thrift.element(b"image")]
    return thrift.parquet(schema, 2**63 - 1)


@refused("data_error", "has -1 rows")
def minus_one_rows(_marker: Path) -> bytes:
    schema = [thrift.element(b"schema", 1), thrift.element(b"image")]
    return thrift.parquet(schema, -1)


@refused("data_error", DAMAGED)
def a_footer_longer_than_the_file(_marker: Path) -> bytes:
    return table(image=IMAGES)[:-8] + (2**31 - 1).to_bytes(4, "little") + b"PAR1"


@refused("data_error", DAMAGED)
def an_encrypted_footer(_marker: Path) -> bytes:
    return b"PARE" + table(image=IMAGES)[4:-4] + b"PARE"


@refused("too_large", "bytes, at most")
def columns_that_inflate_a_thousandfold(_marker: Path) -> bytes:
    return table(image=[bytes(2**22 + i) for i in range(30)])


@refused("too_large", "image in row 0 is 9000000 bytes, at most 8388608", image_file_bytes=2**23)
def one_huge_image_that_every_row_repeats(_marker: Path) -> bytes:
    """A dictionary holds it once, so the file and the declared column sizes are small."""
    image = png() + bytes(9_000_000 - len(png()))
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int8()), [image])
    buffer = io.BytesIO()
    pq.write_table(pa.table({"image": column}), buffer, compression="zstd", store_schema=False)
    return buffer.getvalue()


@refused("too_large", "needs more memory than is available")
def a_page_that_says_it_is_two_gigabytes(_marker: Path) -> bytes:
    """The footer is correct; Arrow allocates the size in the page's own header."""
    data = table(image=IMAGES)
    size = data.index(b"\x15", 6) + 1  # behind the kind of the page
    end = data.index(b"\x15", size)
    return data[:size] + thrift.integer(2**31 - 1) + data[end:]


@refused("too_large", "class name of 10000000 characters, at most 200")
def a_class_name_of_megabytes(_marker: Path) -> bytes:
    return table(image=IMAGES, label=pa.array(["a" * 10_000_000] * 20).dictionary_encode())


@refused("data_error", "column 'image' has type string")
def images_that_are_text(_marker: Path) -> bytes:
    return table(image=["cat.png"] * 20)


@refused("data_error", "column 'image' has type list")
def lists_of_images(_marker: Path) -> bytes:
    return table(image=[[png()]] * 20)


@refused("data_error", "column 'image' has type struct")
def images_that_are_only_paths(_marker: Path) -> bytes:
    return table(image=[{"bytes": "x", "path": "/etc/passwd"}] * 20)


@refused("data_error", "row 0 holds no image")
def paths_without_bytes(_marker: Path) -> bytes:
    images = pa.array(
        [{"bytes": None, "path": "/etc/passwd"}] * 20,
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    return table(image=images)


@refused("data_error", "two columns of the same name")
def two_columns_of_one_name(_marker: Path) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table([IMAGES, IMAGES], names=["image", "image"]), buffer)
    return buffer.getvalue()


@refused("data_error", "labels are numbers, strings or lists of numbers")
def labels_in_lists_of_lists(_marker: Path) -> bytes:
    return table(image=IMAGES, label=[[[1]]] * 20)


@refused("data_error", "labels are numbers, strings or lists of numbers")
def labels_that_are_decimals(_marker: Path) -> bytes:
    return table(image=IMAGES, label=pa.array([1] * 20, pa.decimal128(10, 2)))


@refused("too_large", "labels run from 18446744073709551615")
def labels_that_no_index_holds(_marker: Path) -> bytes:
    return table(image=IMAGES, label=pa.array([2**64 - 1] * 20, pa.uint64()))


@pytest.mark.parametrize("case", CASES.found, ids=lambda case: case.sentence)
def test_a_hostile_table_runs_nothing_and_is_refused(
    case: Case, child: ReadingChild, tmp_path: Path
) -> None:
    check(case, FORMAT, child, tmp_path)


def honest() -> bytes:
    return table(image=IMAGES, label=LABELS)


def named() -> bytes:
    return table(image=IMAGES, label=["abcd"[label] for label in LABELS])


def num_unpacked() -> int:
    metadata = pq.ParquetFile(io.BytesIO(honest())).metadata
    return int(metadata.row_group(0).total_byte_size)


# Of each limit: a file, the smallest limit that lets it through, and what is said one below.
LIMITS: list[tuple[str, Callable[[], bytes], int, str]] = [
    ("samples", honest, 20, "has 20 rows, 1 to 19 are accepted"),
    ("unpacked_bytes", honest, max(num_unpacked(), 20 * 16), "bytes, at most"),
    ("image_file_bytes", honest, len(png()), f"is {len(png())} bytes, at most {len(png()) - 1}"),
    ("image_pixels", honest, 16, "has 4x4 pixels, at most 15"),
    ("classes", honest, 4, "0 to 2 are accepted"),
    ("classes", named, 4, "has more than 3 class names"),
    ("label_values", honest, 20, "there are 20 labels, at most 19"),
]


@pytest.mark.parametrize(
    ("name", "make", "value", "words"), LIMITS, ids=[f"{c[0]} {c[1].__name__}" for c in LIMITS]
)
def test_a_table_at_a_limit_is_read_and_past_it_is_refused(
    name: str, make: Callable[[], bytes], value: int, words: str, child: ReadingChild
) -> None:
    at = child.read(make(), FORMAT, {name: value})
    assert at.code == READ, at
    past = child.read(make(), FORMAT, {name: value - 1})
    assert (past.code, words in past.message) == ("too_large", True), past

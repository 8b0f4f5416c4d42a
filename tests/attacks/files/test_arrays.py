"""Hostile ``.npz`` files: pickles are not loaded, and headers are not trusted."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.attacks.files.payloads import expression, pickle
from tests.attacks.files.reading import READ, Case, Cases, ReadingChild, check
from tests.attacks.files.zips import Entry, deflated, written, zip64

FORMAT = "npz"
CASES = Cases(FORMAT)
refused, harmless = CASES.refused, CASES.harmless
X, Y = np.arange(80, dtype=np.uint8).reshape(20, 2, 2), np.arange(20) % 4
NOT_PLAIN = "is not a plain array"


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=True)
    return buffer.getvalue()


def raw(header: str, data: bytes = b"", version: tuple[int, int] = (1, 0)) -> bytes:
    """Return an array with the given header."""
    text = header.encode() + b"\n"
    width = "<H" if version == (1, 0) else "<I"
    return b"\x93NUMPY" + bytes(version) + struct.pack(width, len(text)) + text + data


def described(descr: str = "'|u1'", shape: str = "(20, 2, 2)", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def with_x(member: bytes) -> bytes:
    return written([Entry(b"x.npy", member), Entry(b"y.npy", npy(Y))])


def with_y(member: bytes, **others: bytes) -> bytes:
    more = [Entry(f"{name}.npy".encode(), data) for name, data in others.items()]
    return written([Entry(b"x.npy", npy(X)), Entry(b"y.npy", member), *more])


# Code.


class _Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        import os  # noqa: PLC0415  # what a payload would call

        return os.system, (f"touch {self.marker}",)


@refused("data_error", NOT_PLAIN)
def samples_that_are_objects(marker: Path) -> bytes:
    return with_x(npy(np.array([_Payload(marker)] * 20, dtype=object)))


@refused("data_error", NOT_PLAIN)
def labels_that_are_objects(marker: Path) -> bytes:
    return with_y(npy(np.array([_Payload(marker)] * 20, dtype=object)))


@refused("data_error", NOT_PLAIN)
def class_names_that_are_objects(marker: Path) -> bytes:
    return with_y(npy(Y), class_names=npy(np.array([_Payload(marker)] * 4, dtype=object)))


@refused("data_error", NOT_PLAIN)
def a_pickle_in_the_place_of_an_array(marker: Path) -> bytes:
    return with_x(pickle(marker))


@refused("data_error", NOT_PLAIN)
def a_header_that_is_an_expression(marker: Path) -> bytes:
    return with_x(raw(expression(marker), bytes(80)))


@refused("data_error", NOT_PLAIN)
def a_type_that_is_an_expression(marker: Path) -> bytes:
    return with_x(raw(described(expression(marker)), bytes(80)))


@refused("data_error", NOT_PLAIN)
def a_shape_that_is_an_expression(marker: Path) -> bytes:
    return with_x(raw(described(shape=f"({expression(marker)}, 2)"), bytes(80)))


@refused("data_error", NOT_PLAIN)
def parentheses_that_nest_without_end(_marker: Path) -> bytes:
    return with_x(raw(described(shape="(" * 4000 + ")" * 4000), bytes(80)))


@refused("data_error", NOT_PLAIN)
def a_chain_of_operators_without_end(_marker: Path) -> bytes:
    return with_x(raw(described(shape="-" * 9000 + "1"), bytes(80)))


@refused("data_error", NOT_PLAIN)
def a_header_of_many_megabytes(_marker: Path) -> bytes:
    return with_x(raw(described() + " " * 2**24, bytes(80), (2, 0)))


@refused("data_error", NOT_PLAIN)
def a_header_longer_than_the_file(_marker: Path) -> bytes:
    return with_x(b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + described().encode())


@refused("data_error", NOT_PLAIN)
def a_version_that_does_not_exist(_marker: Path) -> bytes:
    return with_x(b"\x93NUMPY\x09\x00" + npy(X)[8:])


# Types and shapes.


@refused("data_error", NOT_PLAIN)
def records(_marker: Path) -> bytes:
    return with_x(raw(described("[('a', '|u1'), ('b', '|O')]"), bytes(80)))


@refused("data_error", NOT_PLAIN)
def arrays_in_an_array(_marker: Path) -> bytes:
    return with_x(raw(described("('|u1', (4,))", "(20,)"), bytes(80)))


@refused("data_error", "samples have type datetime64")
def dates(_marker: Path) -> bytes:
    return with_x(npy(np.zeros((20, 2), "datetime64[s]")))


@refused("data_error", "samples have type complex128")
def complex_numbers(_marker: Path) -> bytes:
    return with_x(npy(np.zeros((20, 2), complex)))


@refused("data_error", "samples have type float128")
def numbers_wider_than_a_machine(_marker: Path) -> bytes:
    return with_x(npy(np.zeros((20, 2), np.longdouble)))


@refused("data_error", NOT_PLAIN)
def a_shape_larger_than_the_file(_marker: Path) -> bytes:
    return with_x(raw(described(shape="(1000000, 1000000)"), bytes(80)))


@refused("data_error", NOT_PLAIN)
def a_shape_whose_product_overflows_to_the_right_size(_marker: Path) -> bytes:
    return with_x(raw(described(shape="(4294967296, 4294967296, 5)"), bytes(80)))


@refused("data_error", NOT_PLAIN)
def a_negative_shape(_marker: Path) -> bytes:
    return with_x(raw(described(shape="(-20, -2, 2)"), bytes(80)))


@refused("data_error", NOT_PLAIN)
def a_shape_of_a_hundred_dimensions(_marker: Path) -> bytes:
    return with_x(raw(described(shape="(20, 2, 2" + ", 1" * 97 + ")"), bytes(80)))


@refused("data_error", NOT_PLAIN)
def labels_that_are_nothing_times_a_lot(_marker: Path) -> bytes:
    return with_y(raw(described("'<i8'", "(20, 0, 4611686018427387904)")))


@refused("data_error", "may only hold zeros and ones")
def labels_in_no_columns(_marker: Path) -> bytes:
    return with_y(raw(described("'<i8'", "(20, 0)")))


@refused("data_error", NOT_PLAIN)
def more_bytes_than_the_header_says(_marker: Path) -> bytes:
    return with_x(npy(X) + pickle(_marker))


@refused("data_error", "samples have shape ()")
def a_single_number(_marker: Path) -> bytes:
    return with_x(npy(np.uint8(7)))


@harmless
def fortran_order(_marker: Path) -> bytes:
    return with_x(npy(np.asfortranarray(X)))


@refused("data_error", "labels run from -9223372036854775808")
def labels_at_the_end_of_all_numbers(_marker: Path) -> bytes:
    return with_y(npy(np.full(20, -(2**63))))


@refused("too_large", "labels run from 18446744073709551615")
def labels_that_no_index_holds(_marker: Path) -> bytes:
    return with_y(npy(np.full(20, 2**64 - 1, np.uint64)))


@refused("data_error", "'class_names' holds strings that are not valid Unicode")
def class_names_past_the_end_of_unicode(_marker: Path) -> bytes:
    codes = np.full(4, 0x110000, "<u4").view("<U1")
    return with_y(npy(Y), class_names=npy(codes))


@refused("data_error", "'class_names' holds strings that are not valid Unicode")
def class_names_that_are_half_a_character(_marker: Path) -> bytes:
    codes = np.full(4, 0xD800, "<u4").view("<U1")
    return with_y(npy(Y), class_names=npy(codes))


@refused("too_large", "'class_names' has 100001 names, at most 100000")
def more_class_names_than_classes(_marker: Path) -> bytes:
    return with_y(npy(Y), class_names=npy(np.full(100_001, "a")))


@refused("too_large", "values in 1600000 bytes, at most 20 in 160", label_values=20)
def class_names_of_a_hundred_thousand_letters(_marker: Path) -> bytes:
    return with_y(npy(Y), class_names=npy(np.array(["a" * 100_000] * 4)))


# The archive.


@refused("too_large", "inflates more than 500 times")
def zeros_that_inflate_a_thousandfold(_marker: Path) -> bytes:
    return written([deflated(b"x.npy", npy(np.zeros((20, 1024, 1024), np.uint8)))])


@refused("too_large", "bytes, at most 68719476736")
def members_of_terabytes(_marker: Path) -> bytes:
    found = deflated(b"x.npy", npy(X))
    found.size, found.extra = 0xFFFFFFFF, zip64(2**42, len(found.data))[:12]
    found.extra = struct.pack("<HHQ", 1, 8, 2**42)
    return written([found])


@refused("data_error", "overlaps another")
def arrays_that_share_their_bytes(_marker: Path) -> bytes:
    data = npy(X)
    found = Entry(b"x.npy", data)
    twins = [
        Entry(f"t{i}.npy".encode(), offset=0, size=len(data), packed_size=len(data),
              crc=zlib.crc32(data))
        for i in range(20)
    ]  # fmt: skip
    return written([found, *twins])


@refused("data_error", "two members of the same name")
def an_array_twice(_marker: Path) -> bytes:
    return written([Entry(b"x.npy", npy(X)), Entry(b"x", npy(X))])


@refused("data_error", "not a .npz file, or a damaged one")
def a_checksum_of_something_else(_marker: Path) -> bytes:
    return written([Entry(b"x.npy", npy(X), crc=7)])


@refused("data_error", "not a .npz file, or a damaged one")
def an_array_that_inflates_to_more_than_it_says(_marker: Path) -> bytes:
    found = deflated(b"x.npy", npy(X))
    found.size = 100
    return written([found])


@refused("too_large", "the archive has 40 entries, at most 32")
def forty_arrays(_marker: Path) -> bytes:
    return written([Entry(f"{i}.npy".encode(), npy(X)) for i in range(40)])


@harmless
def arrays_with_the_names_of_system_files(_marker: Path) -> bytes:
    names = [b"../../../../tmp/evil.npy", b"/etc/passwd", b"C:\\evil.npy"]
    return written([Entry(b"x.npy", npy(X)), *[Entry(name, npy(Y)) for name in names]])


@refused("data_error", "is encrypted")
def an_encrypted_array(_marker: Path) -> bytes:
    return written([Entry(b"x.npy", npy(X), flags=1)])


@pytest.mark.parametrize("case", CASES.found, ids=lambda case: case.sentence)
def test_a_hostile_array_file_runs_nothing_and_is_refused(
    case: Case, child: ReadingChild, tmp_path: Path
) -> None:
    check(case, FORMAT, child, tmp_path)


def honest() -> bytes:
    return with_y(npy(Y))


def wide() -> bytes:
    return written([deflated(b"x.npy", npy(np.zeros((2, 1024, 1024), np.uint8)))])


WIDE = npy(np.zeros((2, 1024, 1024), np.uint8))
RATIO = -(-len(WIDE) // len(deflated(b"", WIDE).data))
# Of each limit: a file, the smallest limit that lets it through, and what is said one below.
LIMITS: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "unpacked_bytes": (honest, len(npy(X)) + len(npy(Y)), "the arrays have"),
    "array_inflate_ratio": (wide, RATIO, "inflates more than"),
    "samples": (honest, 20, "there are 20 samples, at most 19"),
    "sample_values": (honest, 4, "have 4 values each, at most 3"),
    "classes": (honest, 4, "0 to 2 are accepted"),
    "label_values": (honest, 20, "there are 20 labels, at most 19"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_arrays_at_a_limit_are_read_and_past_it_are_refused(name: str, child: ReadingChild) -> None:
    make, value, words = LIMITS[name]
    at = child.read(make(), FORMAT, {name: value})
    assert at.code == READ, at
    past = child.read(make(), FORMAT, {name: value - 1})
    assert (past.code, words in past.message) == ("too_large", True), past

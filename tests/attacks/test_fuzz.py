"""A short run of `tests.attacks.fuzz`."""

from pathlib import Path

import pytest

from tests.attacks.files.reading import Case, ReadingChild, check
from tests.attacks.files.test_arrays import raw, with_x
from tests.attacks.files.test_images import png, zipped
from tests.attacks.files.test_programs import X, calling, of_input
from tests.attacks.fuzz import KINDS, fuzz

NUM_FILES = {"reader": 100, "onnx": 40, "safetensors": 15, "images": 200}


@pytest.mark.parametrize("what", KINDS)
def test_mutated_files_are_read_or_refused_and_nothing_else(what: str, child: ReadingChild) -> None:
    found = fuzz(what, 0, lambda number: number >= NUM_FILES[what], child)
    assert found.findings == []
    assert len(found.codes) > 1  # some are read, some are refused


# What fuzzing has found.


def a_header_that_ends_in_the_middle_of_a_word(_marker: Path) -> bytes:
    return with_x(raw("{'descr': ('<f4", bytes(80)))


def an_embedding_in_four_dimensions(_marker: Path) -> bytes:
    weight = {"as_tensor": {"name": "p_conv1_weight"}}
    index = {"as_tensor": {"name": "b_bn1_num_batches_tracked"}}
    arguments = [("weight", weight), ("indices", index)]
    return calling(("torch.ops.aten.embedding.default", arguments, "evil"))


def no_channel_at_all(_marker: Path) -> bytes:
    weight = {"as_tensor": {"name": "p_conv1_weight"}}
    none = [("self", weight), ("dim", {"as_int": 0}), ("start", {"as_int": 8})]
    flat = [("self", {"as_tensor": {"name": "none"}}), ("repeats", {"as_ints": [1, 2, 1, 1]})]
    return calling(
        ("torch.ops.aten.slice.Tensor", none, "none"),
        ("torch.ops.aten.repeat.default", flat, "evil"),
    )


def a_bias_of_another_width(_marker: Path) -> bytes:
    weight = {"as_tensor": {"name": "p_conv1_weight"}}
    bias = {"as_tensor": {"name": "p_bn3_bias"}}
    arguments = [("input", X), ("weight", weight), ("bias", bias)]
    return calling(("torch.ops.aten.conv2d.default", arguments, "evil"))


def an_argument_where_a_tensor_was(_marker: Path) -> bytes:
    return of_input("where.self", ("condition", X), ("other", {"as_int": 7}))


def a_list_of_sizes(_marker: Path) -> bytes:
    return of_input("sym_size.default")


def a_picture_without_a_name(_marker: Path) -> bytes:
    return zipped(png(), name="cat{}.png").replace(b"cat0.png", b"\0at0.png")


FOUND = [
    (a_list_of_sizes, "pt2", "read", ""),
    (a_header_that_ends_in_the_middle_of_a_word, "npz", "data_error", "is not a plain array"),
    (an_embedding_in_four_dimensions, "pt2", "model_rejected", "must be 2-D, got 4-D"),
    (a_picture_without_a_name, "zip", "data_error", "has no name"),
    (no_channel_at_all, "pt2", "read", ""),
    (a_bias_of_another_width, "pt2", "model_rejected", "the network cannot be computed"),
    (an_argument_where_a_tensor_was, "pt2", "model_rejected", "does not accept its arguments"),
]


@pytest.mark.parametrize(
    ("make", "format_", "code", "words"), FOUND, ids=[row[0].__name__ for row in FOUND]
)
def test_inputs_found_by_fuzzing_stay_fixed(  # a row
    make: object, format_: str, code: str, words: str, child: ReadingChild, tmp_path: Path
) -> None:
    check(Case(make, code, words, {}, {}), format_, child, tmp_path)  # type: ignore[arg-type]

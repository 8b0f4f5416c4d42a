"""Inference requests are read exactly, or refused with the reason."""

import json
from typing import Any

import numpy as np
import pytest

from app.contracts.errors import InvalidInputError
from app.open_inference.requests import InferRequest, decode_request

X = {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1, 2.5, -3, 4]}


def binary(size: Any, **changes: Any) -> dict[str, Any]:
    found = {**X, "parameters": {"binary_data_size": size}, **changes}
    del found["data"]
    return found


def decode(*inputs: Any, tail: bytes = b"", length: str | None = None, **more: Any) -> InferRequest:
    head = json.dumps({"inputs": list(inputs), **more}).encode()
    if length is None and tail:
        length = str(len(head))
    return decode_request(head + tail, length)


def test_flat_and_nested_data_are_the_same_tensor() -> None:
    flat = decode(X).arrays["x"]
    nested = decode({**X, "data": [[1, 2.5], [-3, 4]]}).arrays["x"]
    assert flat.dtype == nested.dtype == np.float32
    assert flat.tolist() == nested.tolist() == [[1, 2.5], [-3, 4]]


def test_binary_inputs_take_their_bytes_in_order_and_share_the_bodys_memory() -> None:
    a, b = np.arange(4, dtype="<f4"), np.arange(3, dtype="<i8")
    head = json.dumps(
        {
            "inputs": [
                binary(16, name="a"),
                {**X, "name": "j"},
                binary(24, name="b", datatype="INT64", shape=[3]),
            ]
        }
    ).encode()
    head += b" " * (-len(head) % 8)
    body = head + a.tobytes() + b.tobytes()
    found = decode_request(body, str(len(head))).arrays
    assert found["a"].tolist() == [[0, 1], [2, 3]]
    assert found["b"].tolist() == [0, 1, 2]
    for name in ("a", "b"):
        assert found[name].flags.aligned
    start = np.frombuffer(body, np.uint8).__array_interface__["data"][0]
    offset = found["a"].__array_interface__["data"][0] - start
    assert offset % 4 or offset == len(head)  # copied only where it would not be aligned


@pytest.mark.parametrize("shift", range(8))
def test_arrays_are_aligned_wherever_the_json_ends(shift: int) -> None:
    head = json.dumps({"inputs": [binary(16, datatype="FP64", shape=[2])]}).encode() + b" " * shift
    values = decode_request(head + np.array([1.5, -2.0]).tobytes(), str(len(head))).arrays["x"]
    assert values.flags.aligned
    assert values.tolist() == [1.5, -2.0]


def test_id_outputs_and_parameters_are_read() -> None:
    found = decode(
        X,
        id="me",
        outputs=[
            {"name": "y", "parameters": {"binary_data": False, "classification": 3}},
            {"name": "z"},
        ],
        parameters={"binary_data_output": True, "priority": 2, "timeout": 1500, "mine": "x"},
    )
    assert (found.id, found.priority) == ("me", 2)
    assert found.timeout_seconds == pytest.approx(0.0015)
    assert found.outputs is not None
    y, z = found.outputs
    assert (y.is_binary, y.num_classes, z.is_binary, z.num_classes) == (False, 3, True, 0)
    plain = decode(X)
    assert (plain.id, plain.outputs, plain.timeout_seconds) == (None, None, None)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([], "'inputs' is empty"),
        ([X, X], "is given twice"),
        ([7], "must be a list of objects"),
        ([{**X, "name": None}], "has no name"),
        ([{**X, "datatype": "FP31"}], "'FP31', not one of BOOL"),
        ([{**X, "datatype": ["FP32"]}], "not one of BOOL"),
        ([{**X, "shape": "2,2"}], "must be a list of at most 32 integers"),
        ([{**X, "shape": [2.0, 2]}], "must be a list of at most 32 integers"),
        ([{**X, "shape": [True, 4]}], "must be a list of at most 32 integers"),
        ([{**X, "shape": [1] * 33}], "must be a list of at most 32 integers"),
        ([{**X, "shape": [-1, 4]}], "has a dimension below 1"),
        ([{**X, "shape": [0, 4]}], "has a dimension below 1"),
        ([{**X, "shape": [2**32, 2**32]}], "elements"),
        ([{**X, "shape": [2**40, 4]}], "4 values, but"),
        ([{**X, "data": [1, 2, 3]}], "3 values, but shape [2, 2] needs 4"),
        ([{**X, "data": [[1, 2], [3]]}], "neither a flat list nor nested"),
        ([{**X, "data": [[1, 2], 3]}], "neither a flat list nor nested"),
        ([{**X, "data": [[1, 2, 3], [4, 5, 6]]}], "neither a flat list nor nested"),
        ([{**X, "data": [1, 2, 3, [4]]}], "not FP32"),
        ([{**X, "data": [1, 2, 3, "4"]}], "not FP32"),
        ([{**X, "data": [1, 2, 3, None]}], "not FP32"),
        ([{**X, "data": [1, 2, 3, 1e39]}], "not finite"),
        ([{**X, "data": "1234"}], "must be a list"),
        ([{**X, "data": None}], "must be a list"),
        ([{**X, "parameters": 1}], "must be an object"),
        ([{**X, "parameters": {"binary_data_size": 16}}], "either data or binary_data_size"),
        ([{k: v for k, v in X.items() if k != "data"}], "either data or binary_data_size"),
        ([binary(16)], "but 0 bytes are left"),
        ([binary(-16)], "integer of 0 or more"),
        ([binary(16.0)], "integer of 0 or more"),
        ([binary(True)], "integer of 0 or more"),
        ([binary(0)], "0 bytes of binary data"),
        ([{**X, "parameters": {"shared_memory_region": "r"}}], "shared memory"),
        ([{**X, "datatype": "INT32"}], "not INT32"),
        ([{**X, "datatype": "UINT8", "data": [1, 2, 3, 256]}], "not UINT8"),
        ([{**X, "datatype": "UINT8", "data": [1, 2, 3, -1]}], "not UINT8"),
        ([{**X, "datatype": "INT64", "data": [1, 2, 3, 2**63]}], "not INT64"),
        ([{**X, "datatype": "BOOL"}], "true or false"),
        ([{**X, "datatype": "BYTES"}], "must be strings"),
        ([{**X, "datatype": "FP16"}], "binary data only"),
        ([{**X, "datatype": "BF16"}], "binary data only"),
    ],
)
def test_invalid_inputs_are_refused_with_a_reason(inputs: list[Any], words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        decode(*inputs)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("body", "length", "words"),
    [
        (b"", None, "not JSON"),
        (b"{", None, "not JSON"),
        (b"[]", None, "JSON object"),
        (b"{}", None, "'inputs' must be"),
        (b"[" * 100_000, None, "not JSON"),
        (b'{"inputs": NaN}', None, "not JSON"),
        (b'{"inputs": []}\xff', None, "not JSON"),
        (b"{}", "3", "but the body has 2 bytes"),
        (b"{}", "-1", "but the body has 2 bytes"),
        (b"{}", "\u0662", "but the body has 2 bytes"),
        (b"{}", "1" * 5000, "but the body has 2 bytes"),
        (b"{}", "0", "not JSON"),
        (b'{"id": 7, "inputs": []}', None, "'inputs' is empty"),
    ],
)
def test_invalid_bodies_are_refused_with_a_reason(
    body: bytes, length: str | None, words: str
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        decode_request(body, length)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"id": 7}, "'id' must be a string"),
        ({"parameters": []}, "must be an object"),
        ({"parameters": {"binary_data_output": 1}}, "true or false"),
        ({"parameters": {"timeout": -1}}, "integer of 0 or more"),
        ({"outputs": {}, "parameters": {"priority": "1"}}, "integer of 0 or more"),
        ({"outputs": "y"}, "must be a list of objects"),
        ({"outputs": [{"name": "y"}, {"name": "y"}]}, "is given twice"),
        ({"outputs": [{}]}, "has no name"),
        ({"outputs": [{"name": "y", "parameters": {"binary_data": 0}}]}, "true or false"),
        ({"outputs": [{"name": "y", "parameters": {"classification": "3"}}]}, "integer"),
        ({"outputs": [{"name": "y", "parameters": {"shared_memory_region": ""}}]}, "shared"),
    ],
)
def test_other_invalid_fields_are_refused_with_a_reason(more: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        decode(X, **more)
    assert words in caught.value.message


def test_bytes_must_add_up_exactly() -> None:
    data = bytes(16)
    assert decode(binary(16), tail=data).arrays["x"].shape == (2, 2)
    for size, tail, words in (
        (16, data + b"\0", "17 bytes follow the JSON"),
        (16, data[:-1], "but 15 bytes are left"),
        (12, data[:12], "needs 16"),
        (20, bytes(20), "needs 16"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            decode(binary(size), tail=tail)
    with pytest.raises(InvalidInputError, match="1 bytes follow"):
        decode(X, tail=b"\0")


def test_texts_come_with_their_lengths() -> None:
    texts = ["", "é\0", "x" * 300, "中"]
    tail = b"".join(len(t.encode()).to_bytes(4, "little") + t.encode() for t in texts)
    changes = {"datatype": "BYTES"}
    found = decode(binary(len(tail), **changes), tail=tail).arrays["x"]
    assert found.ravel().tolist() == texts
    named = decode({**X, **changes, "data": [texts[:2], texts[2:]]}).arrays["x"]
    assert named.tolist() == found.tolist()
    for bad, words in (
        (tail[:-1], "an element of BYTES declares 3 bytes, but 2 are left"),
        (tail + b"\1\0\0", "ends within a length"),
        (tail + bytes(4), "5 elements of BYTES, but the shape needs 4"),
        (bytes(12), "3 elements"),
        (b"\1\0\0\0\xff" + bytes(12), "UTF-8"),
        (b"\xff\xff\xff\xff", "4294967295 bytes"),
    ):
        with pytest.raises(InvalidInputError, match=words):
            decode(binary(len(bad), **changes), tail=bad)


def test_a_bool_is_zero_or_one() -> None:
    changes = {"datatype": "BOOL"}
    found = decode(binary(4, **changes), tail=b"\1\0\0\1").arrays["x"]
    assert found.tolist() == [[True, False], [False, True]]
    with pytest.raises(InvalidInputError, match="0 or 1"):
        decode(binary(4, **changes), tail=b"\1\0\2\1")

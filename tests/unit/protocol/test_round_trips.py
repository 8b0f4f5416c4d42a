"""Property: a tensor leaves in an answer exactly as it came in a request."""

import json
from contextlib import suppress
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from app.contracts.errors import InvalidInputError
from app.open_inference.answers import encode_answer
from app.open_inference.datatypes import BYTES, DATATYPES, Datatype, to_binary
from app.open_inference.requests import WantedOutput, decode_request
from app.serving.bfloat16 import from_bits
from app.serving.description import BFLOAT16, TensorSpec

_SHAPES = arrays.array_shapes(min_dims=1, max_dims=4, max_side=4)
_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
_BINARY_ONLY = {"FP16", "BF16"}


@st.composite
def tensors(draw: st.DrawFn) -> tuple[Datatype, np.ndarray]:
    datatype = draw(st.sampled_from(list(DATATYPES.values())))
    shape = draw(_SHAPES)
    if datatype.name == BYTES:
        return datatype, draw(arrays.arrays(object, shape, elements=_TEXT))
    values = draw(arrays.arrays(datatype.dtype, shape))
    # A BF16 is held as the number that its bits mean, NaNs with their payloads included.
    return datatype, from_bits(values) if datatype.spec == BFLOAT16 else values


def answer(datatype: Datatype, values: np.ndarray, *, is_binary: bool) -> tuple[bytes, int | None]:
    spec = TensorSpec("t", values.shape, datatype.spec)
    return encode_answer({}, [WantedOutput("t", is_binary)], {"t": values}, [spec])


@settings(max_examples=150, deadline=None)
@given(tensors(), st.integers(0, 7))
def test_binary_tensors_round_trip_bit_for_bit(
    tensor: tuple[Datatype, np.ndarray], padding: int
) -> None:
    datatype, values = tensor
    body, length = answer(datatype, values, is_binary=True)
    assert length is not None
    head = json.loads(body[:length])
    request = json.dumps({"inputs": head["outputs"]}).encode() + b" " * padding
    found = decode_request(request + body[length:], str(len(request)))
    assert found.arrays["t"].shape == values.shape
    assert found.datatypes["t"] is datatype
    assert to_binary(datatype, found.arrays["t"]) == body[length:]
    if datatype.name == BYTES:
        assert found.arrays["t"].tolist() == values.tolist()
    else:
        assert found.arrays["t"].tobytes() == values.tobytes()


@settings(max_examples=150, deadline=None)
@given(tensors())
def test_json_tensors_round_trip_exactly_or_are_refused(
    tensor: tuple[Datatype, np.ndarray],
) -> None:
    datatype, values = tensor
    is_holdable = datatype.name not in _BINARY_ONLY and (
        datatype.dtype.kind != "f" or bool(np.isfinite(values).all())
    )
    try:
        body, length = answer(datatype, values, is_binary=False)
    except InvalidInputError:
        assert not is_holdable
        return
    assert is_holdable
    assert length is None
    (output,) = json.loads(body)["outputs"]
    assert all(not isinstance(value, list) for value in output["data"])
    found = decode_request(json.dumps({"inputs": [output]}).encode(), None).arrays["t"]
    assert found.shape == values.shape
    assert found.tolist() == values.tolist()
    nested = {**output, "data": values.tolist()}
    again = decode_request(json.dumps({"inputs": [nested]}).encode(), None).arrays["t"]
    assert again.tolist() == values.tolist()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["name", "datatype", "shape", "data", "parameters", "binary_data_size"]
            ),
            children,
        )
    ),
    max_leaves=12,
)
_inputs = st.fixed_dictionaries(
    {"name": st.text(max_size=3)},
    optional={
        "datatype": st.sampled_from([*DATATYPES, "X"]) | _json,
        "shape": st.lists(st.integers(-1, 4) | st.integers(), max_size=4) | _json,
        "data": st.lists(_json, max_size=6) | _json,
        "parameters": st.fixed_dictionaries(
            {}, optional={"binary_data_size": st.integers(-2, 40) | _json}
        )
        | _json,
    },
)


@settings(max_examples=200, deadline=None)
@given(
    st.fixed_dictionaries(
        {"inputs": st.lists(_inputs, max_size=3) | _json},
        optional={"id": _json, "outputs": _json, "parameters": _json},
    ),
    st.binary(max_size=40),
    st.integers(-2, 2),
)
def test_any_body_is_read_or_refused(request: Any, tail: bytes, shift: int) -> None:
    head = json.dumps(request).encode()
    try:
        found = decode_request(head + tail, str(len(head) + shift))
    except InvalidInputError:
        return
    for values in found.arrays.values():
        assert values.size > 0


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60), st.text(max_size=4) | st.none())
def test_any_bytes_are_read_or_refused(body: bytes, length: str | None) -> None:
    with suppress(InvalidInputError):
        decode_request(body, length)

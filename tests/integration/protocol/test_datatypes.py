"""Every datatype passes bit for bit through an identity network."""

from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http as triton
from onnx import TensorProto

from tests.fixtures.serving import Serving, identity

_INTEGERS = [f"{sign}INT{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)]
_FLOATS = {
    "FP16": (TensorProto.FLOAT16, np.float16, np.uint16),
    "FP32": (TensorProto.FLOAT, np.float32, np.uint32),
    "FP64": (TensorProto.DOUBLE, np.float64, np.uint64),
    "BF16": (TensorProto.BFLOAT16, ml_dtypes.bfloat16, np.uint16),
}
_TEXTS = ["", "a", "é中", "nul\0inside\0", "x" * 1000, " "]


@pytest.fixture(scope="module")
def client(served: Serving) -> Iterator[triton.InferenceServerClient]:
    for name in _INTEGERS:
        served.add_model(name, identity(getattr(TensorProto, name)))
    for name, (element_type, _, _) in _FLOATS.items():
        served.add_model(name, identity(element_type))
    served.add_model("BOOL", identity(TensorProto.BOOL))
    served.add_model("BYTES", identity(TensorProto.STRING))
    with triton.InferenceServerClient(served.address) as found:
        yield found


def echo(
    client: triton.InferenceServerClient,
    headers: dict[str, str],
    datatype: str,
    values: np.ndarray,
    *,
    is_binary: bool,
) -> np.ndarray:
    metadata = client.get_model_metadata(datatype, headers=headers)
    assert metadata["inputs"] == [{"name": "x", "datatype": datatype, "shape": [-1, 2]}]
    tensor = triton.InferInput("x", list(values.shape), datatype)
    tensor.set_data_from_numpy(values, binary_data=is_binary)
    outputs = [triton.InferRequestedOutput("y", binary_data=is_binary)]
    result = client.infer(datatype, [tensor], outputs=outputs, headers=dict(headers))
    assert result.get_output("y")["datatype"] == datatype
    found = result.as_numpy("y")
    assert found is not None
    return found


@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize("datatype", _INTEGERS)
def test_integers(
    client: triton.InferenceServerClient, headers: dict[str, str], datatype: str, is_binary: bool
) -> None:
    limits = np.iinfo(datatype.lower())
    values = np.array([[limits.min, limits.max], [0, 1]], datatype.lower())
    found = echo(client, headers, datatype, values, is_binary=is_binary)
    assert found.dtype == values.dtype
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("datatype", _FLOATS)
def test_floats_in_binary_with_every_kind_of_bits(
    client: triton.InferenceServerClient, headers: dict[str, str], datatype: str
) -> None:
    _, dtype, bits = _FLOATS[datatype]
    width = np.dtype(bits).itemsize * 8
    random = np.random.default_rng(0).integers(0, 2**width, 500, bits, endpoint=False)
    values = np.concatenate([np.array([0, 2 ** (width - 1)], bits), random]).view(dtype)
    values = np.concatenate([values, np.array([np.inf, -np.inf], dtype)]).reshape(-1, 2)
    found = echo(client, headers, datatype, values, is_binary=True)
    assert found.dtype == values.dtype
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("datatype", ["FP32", "FP64"])
def test_floats_in_json(
    client: triton.InferenceServerClient, headers: dict[str, str], datatype: str
) -> None:
    dtype = _FLOATS[datatype][1]
    limits = np.finfo(dtype)
    values = np.array([limits.max, limits.min, limits.tiny, 0.1, -0.0, 1 / 3], dtype)
    found = echo(client, headers, datatype, values.reshape(-1, 2), is_binary=False)
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("is_binary", [True, False])
def test_booleans(
    client: triton.InferenceServerClient, headers: dict[str, str], is_binary: bool
) -> None:
    values = np.array([[True, False], [False, False]])
    found = echo(client, headers, "BOOL", values, is_binary=is_binary)
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("is_binary", [True, False])
def test_texts(
    client: triton.InferenceServerClient, headers: dict[str, str], is_binary: bool
) -> None:
    values = np.array(_TEXTS, object).reshape(-1, 2)
    found = echo(client, headers, "BYTES", values, is_binary=is_binary)
    texts = [t.decode() if isinstance(t, bytes) else t for t in found.ravel()]
    assert texts == _TEXTS

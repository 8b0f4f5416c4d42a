"""JSON to arrays, with every shape and value checked before anything computes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contracts.errors import ErrorDetail, InvalidInputError
from app.serving.bfloat16 import as_type
from app.serving.description import BFLOAT16, BYTES, Arrays, TensorSpec

_CHUNK = 500  # numpy releases the interpreter lock above this size
_MOST_CHUNKED = 16_384


def parse_inputs(specs: Sequence[TensorSpec], inputs: Any) -> Arrays:  # noqa: ANN401  # decoded JSON
    """Return an array per input of the model.

    Args:
        specs: The model's inputs.
        inputs: Nested lists (one input), or an object of nested lists by input name.

    Raises:
        InvalidInputError: A name, shape or value does not fit; its pointer says where.
    """
    if not isinstance(inputs, dict):
        if len(specs) != 1:
            names = [spec.name for spec in specs]
            raise invalid("/inputs", f"the model takes {len(names)} inputs; name them: {names}")
        return {specs[0].name: _parse(specs[0], inputs, "/inputs")}
    expected = {spec.name: spec for spec in specs}
    if inputs.keys() != expected.keys():
        raise invalid("/inputs", f"the model takes {sorted(expected)}, not {sorted(inputs)[:10]}")
    arrays = {name: _parse(expected[name], v, f"/inputs/{name}") for name, v in inputs.items()}
    if len({len(array) for array in arrays.values() if array.ndim}) > 1:
        raise invalid("/inputs", "the inputs have different batch sizes")
    return arrays


def check_shape(spec: TensorSpec, shape: tuple[int, ...], pointer: str) -> None:
    """Raise `InvalidInputError` unless ``shape`` fits the input."""
    is_right = len(shape) == len(spec.shape) and all(
        wanted is None or wanted == found for wanted, found in zip(spec.shape, shape, strict=True)
    )
    if not is_right or 0 in shape:
        wanted = ["batch" if size is None else size for size in spec.shape]
        raise invalid(pointer, f"input {spec.name!r} takes shape {wanted}, not {list(shape)}")


def numpy_type(spec: TensorSpec) -> str:
    """Return the array type of an input before it enters the session."""
    return "float32" if spec.dtype == BFLOAT16 else spec.dtype


def are_finite(array: NDArray[Any]) -> bool:
    """Return whether no value is infinite or NaN.

    Checks a few hundred values at a time. For more, numpy releases the interpreter lock, and a
    request of some microseconds on the event loop would wait to get it back.
    """
    flat = array.reshape(-1)
    if len(flat) > _MOST_CHUNKED:
        return bool(np.isfinite(flat).all())
    return all(
        np.isfinite(flat[start : start + _CHUNK]).all() for start in range(0, len(flat), _CHUNK)
    )


def invalid(pointer: str, detail: str) -> InvalidInputError:
    """Return the error for one location in a body."""
    return InvalidInputError(f"{pointer}: {detail}", details=[ErrorDetail(pointer, detail)])


def _parse(spec: TensorSpec, value: Any, pointer: str) -> NDArray[Any]:  # noqa: ANN401  # JSON
    if spec.dtype == BYTES:
        raise invalid(pointer, f"input {spec.name!r} is {spec.dtype}, which only /v2 accepts")
    try:
        with np.errstate(over="ignore"):  # overflow gives infinity, which is refused below
            array = as_type(spec, np.asarray(value, dtype=numpy_type(spec)))
    except (ValueError, TypeError, OverflowError) as error:
        detail = f"must be nested lists of numbers of type {spec.dtype}, all of one shape"
        raise invalid(pointer, detail) from error
    check_shape(spec, array.shape, pointer)
    if array.dtype.kind == "f" and not are_finite(array):
        raise invalid(pointer, f"has values that are not finite in {spec.dtype}")
    return array

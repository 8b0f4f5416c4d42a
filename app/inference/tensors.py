"""JSON to arrays: every shape and value is checked before anything computes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contracts.errors import ErrorDetail, InvalidInputError
from app.inference.sessions import LoadedModel, TensorSpec

Arrays = dict[str, NDArray[np.float32]]


def parse_inputs(model: LoadedModel, inputs: Any) -> Arrays:  # noqa: ANN401  # decoded JSON
    """Return an array for each input of the model.

    Args:
        model: What will compute.
        inputs: Nested lists (one input), or an object of nested lists by input name.

    Raises:
        InvalidInputError: A name, shape or value does not fit; a pointer says which.
    """
    if not isinstance(inputs, dict):
        if len(model.inputs) != 1:
            names = [spec.name for spec in model.inputs]
            raise _invalid("/inputs", f"the model takes {len(names)} inputs; name them: {names}")
        return {model.inputs[0].name: _parse(model.inputs[0], inputs, "/inputs")}
    expected = {spec.name: spec for spec in model.inputs}
    if inputs.keys() != expected.keys():
        raise _invalid("/inputs", f"the model takes {sorted(expected)}, not {sorted(inputs)[:10]}")
    arrays = {name: _parse(expected[name], v, f"/inputs/{name}") for name, v in inputs.items()}
    if len({len(array) for array in arrays.values()}) > 1:
        raise _invalid("/inputs", "the inputs have different batch sizes")
    return arrays


def check_shape(spec: TensorSpec, shape: tuple[int, ...], pointer: str) -> None:
    """Raise `InvalidInputError` unless ``shape`` fits the input."""
    is_right = len(shape) == len(spec.shape) and all(
        wanted is None or wanted == found for wanted, found in zip(spec.shape, shape, strict=True)
    )
    if not is_right or 0 in shape:
        wanted = ["batch" if size is None else size for size in spec.shape]
        raise _invalid(pointer, f"input {spec.name!r} takes shape {wanted}, not {list(shape)}")


def _parse(spec: TensorSpec, value: Any, pointer: str) -> NDArray[np.float32]:  # noqa: ANN401  # JSON
    try:
        with np.errstate(over="ignore"):  # becomes infinite, and is refused below
            array = np.asarray(value, dtype=np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise _invalid(pointer, "must be nested lists of numbers, all of one shape") from error
    check_shape(spec, array.shape, pointer)
    if not np.isfinite(array).all():
        raise _invalid(pointer, "has values that are not finite in float32")
    return np.ascontiguousarray(array)


def _invalid(pointer: str, detail: str) -> InvalidInputError:
    return InvalidInputError(f"{pointer}: {detail}", details=[ErrorDetail(pointer, detail)])

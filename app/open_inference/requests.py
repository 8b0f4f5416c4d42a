"""Parsing and validation of inference request bodies.

The body is JSON. With binary data, a header gives the length of the JSON, and the bytes of the
inputs that have a ``binary_data_size`` follow in the inputs' order.
"""

from typing import Any, NamedTuple

import orjson

from app.contracts.errors import InvalidInputError
from app.inference.options import Variant, parse_options
from app.open_inference.datatypes import (
    DATATYPES,
    Array,
    Datatype,
    count_items,
    datatype_of,
    from_binary,
    from_json,
)
from app.serving.description import Arrays, LoadedModel, TensorSpec

_MAX_RANK = 32
_MAX_BYTES = 2**63 - 1
_MICROSECONDS = 1e-6
_SHARED_MEMORY = "shared_memory_region"

Json = dict[str, Any]


class WantedOutput(NamedTuple):
    """One requested output.

    Attributes:
        name: Name of the model's output.
        is_binary: Whether to send its bytes after the JSON.
        num_classes: Number of highest scores to send instead of the tensor; 0: the tensor.
    """

    name: str
    is_binary: bool
    num_classes: int = 0


class InferRequest(NamedTuple):
    """A parsed inference request.

    Attributes:
        id: The client's id, echoed in the answer.
        arrays: Arrays by input name.
        datatypes: Datatypes by input name.
        outputs: Requested outputs; None: all.
        is_binary: Default of ``is_binary`` for outputs.
        priority: 1 is the highest; requests without a priority come last.
        timeout_seconds: Time after which the answer is useless.
        variant: The model, the model it was pruned from, its int8 form, or a comparison.
    """

    id: str | None
    arrays: Arrays
    datatypes: dict[str, Datatype]
    outputs: tuple[WantedOutput, ...] | None
    is_binary: bool
    priority: int
    timeout_seconds: float | None
    variant: Variant

    @property
    def num_items(self) -> int:
        """Size of dimension 0."""
        return max(len(values) if values.ndim else 1 for values in self.arrays.values())

    def check(self, model: LoadedModel) -> None:
        """Raise `InvalidInputError` unless the inputs fit a model."""
        names = [spec.name for spec in model.inputs]
        if self.arrays.keys() != set(names):
            raise InvalidInputError(f"the model takes inputs {names}, not {list(self.arrays)[:16]}")
        for spec in model.inputs:
            self._check_input(spec)
        if model.batch_symbol is not None:
            sizes = {len(values) for values in self.arrays.values()}
            if len(sizes) > 1:
                raise InvalidInputError(f"the inputs have different batch sizes: {sorted(sizes)}")

    def _check_input(self, spec: TensorSpec) -> None:
        wanted, found = datatype_of(spec), self.datatypes[spec.name]
        if found is not wanted:
            raise InvalidInputError(f"input {spec.name!r} takes {wanted.name}, not {found.name}")
        shape = self.arrays[spec.name].shape
        if len(shape) != len(spec.shape) or any(
            size is not None and size != given
            for size, given in zip(spec.shape, shape, strict=True)
        ):
            sizes = [-1 if size is None else size for size in spec.shape]
            raise InvalidInputError(f"input {spec.name!r} takes shape {sizes}, not {list(shape)}")


def decode_request(body: bytes, header_length: str | None) -> InferRequest:
    """Parse a body.

    Args:
        body: The inflated body.
        header_length: Value of the header ``Inference-Header-Content-Length``.

    Raises:
        InvalidInputError: The body violates the protocol; the message says how.
    """
    end = len(body) if header_length is None else _parse_length(header_length, len(body))
    whole = memoryview(body)
    try:
        request = orjson.loads(whole[:end])
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"the request is not JSON: {error}") from error
    if type(request) is not dict:
        raise InvalidInputError("the request must be a JSON object")
    parameters = _parameters(request)
    is_binary = _flag(parameters, "binary_data_output")
    arrays, datatypes = _parse_inputs(request, whole[end:])
    return InferRequest(
        _parse_id(request),
        arrays,
        datatypes,
        _parse_outputs(request, is_binary=is_binary),
        is_binary,
        _count(parameters, "priority"),
        _count(parameters, "timeout") * _MICROSECONDS or None,
        parse_options(
            {"variant": parameters["variant"]} if "variant" in parameters else None
        ).variant,
    )


def _parse_length(header: str, most: int) -> int:
    if not (header.isascii() and header.isdigit()) or int(header[:20]) > most:
        raise InvalidInputError(
            f"Inference-Header-Content-Length is {header[:20]!r}, but the body has {most} bytes"
        )
    return int(header)


def _parse_id(request: Json) -> str | None:
    found = request.get("id")
    if found is not None and type(found) is not str:
        raise InvalidInputError("'id' must be a string")
    return found


def _parse_inputs(request: Json, binary: memoryview) -> tuple[Arrays, dict[str, Datatype]]:
    arrays: Arrays = {}
    datatypes: dict[str, Datatype] = {}
    rest = binary
    for tensor in _list_of_objects(request, "inputs"):
        name = _name(tensor, arrays, "input")
        where = f"input {name[:100]!r}"
        datatypes[name] = _parse_datatype(tensor, where)
        try:
            arrays[name], rest = _parse_values(tensor, datatypes[name], rest)
        except InvalidInputError as error:
            raise InvalidInputError(f"{where}: {error.message}") from error
    if not arrays:
        raise InvalidInputError("'inputs' is empty")
    if rest:
        raise InvalidInputError(
            f"{len(binary)} bytes follow the JSON, but the inputs' binary_data_size add up to "
            f"{len(binary) - len(rest)}"
        )
    return arrays, datatypes


def _parse_values(tensor: Json, datatype: Datatype, binary: memoryview) -> tuple[Array, memoryview]:
    """Return an input's values and the bytes left for the next inputs."""
    shape, parameters = _parse_shape(tensor), _parameters(tensor)
    if _SHARED_MEMORY in parameters:
        raise InvalidInputError("shared memory is not supported")
    if ("data" in tensor) == ("binary_data_size" in parameters):
        raise InvalidInputError("send either data or binary_data_size")
    if "data" in tensor:
        return from_json(datatype, tensor["data"], shape), binary
    size = _count(parameters, "binary_data_size")
    if size > len(binary):
        raise InvalidInputError(f"binary_data_size is {size}, but {len(binary)} bytes are left")
    return from_binary(datatype, binary[:size], shape), binary[size:]


def _parse_datatype(tensor: Json, where: str) -> Datatype:
    found = tensor.get("datatype")
    datatype = DATATYPES.get(found) if type(found) is str else None
    if datatype is None:
        raise InvalidInputError(
            f"{where}: datatype is {str(found)[:20]!r}, not one of {', '.join(DATATYPES)}"
        )
    return datatype


def _parse_shape(tensor: Json) -> tuple[int, ...]:
    shape = tensor.get("shape")
    if type(shape) is not list or len(shape) > _MAX_RANK or set(map(type, shape)) - {int}:
        raise InvalidInputError(f"shape must be a list of at most {_MAX_RANK} integers")
    if any(size < 1 for size in shape):
        raise InvalidInputError(f"shape {shape} has a dimension below 1")
    if count_items(shape) > _MAX_BYTES:
        raise InvalidInputError(f"shape {shape} has more than {_MAX_BYTES} elements")
    return tuple(shape)


def _parse_outputs(request: Json, *, is_binary: bool) -> tuple[WantedOutput, ...] | None:
    if not request.get("outputs"):
        return None
    found: dict[str, WantedOutput] = {}
    for tensor in _list_of_objects(request, "outputs"):
        name = _name(tensor, found, "output")
        try:
            found[name] = _parse_output(name, _parameters(tensor), is_binary=is_binary)
        except InvalidInputError as error:
            raise InvalidInputError(f"output {name[:100]!r}: {error.message}") from error
    return tuple(found.values())


def _parse_output(name: str, parameters: Json, *, is_binary: bool) -> WantedOutput:
    if _SHARED_MEMORY in parameters:
        raise InvalidInputError("shared memory is not supported")
    is_its = _flag(parameters, "binary_data", default=is_binary)
    return WantedOutput(name, is_its, _count(parameters, "classification"))


def _list_of_objects(request: Json, key: str) -> list[Json]:
    found = request.get(key)
    if type(found) is not list or set(map(type, found)) - {dict}:
        raise InvalidInputError(f"{key!r} must be a list of objects")
    return found


def _name(tensor: Json, taken: dict[str, Any], kind: str) -> str:
    name = tensor.get("name")
    if type(name) is not str:
        raise InvalidInputError(f"an {kind} has no name")
    if name in taken:
        raise InvalidInputError(f"{kind} {name[:100]!r} is given twice")
    return name


def _parameters(holder: Json) -> Json:
    found = holder.get("parameters")
    if found is None:
        return {}
    if type(found) is not dict:
        raise InvalidInputError("'parameters' must be an object")
    return found


def _flag(parameters: Json, key: str, *, default: bool = False) -> bool:
    found = parameters.get(key, default)
    if type(found) is not bool:
        raise InvalidInputError(f"parameter {key!r} must be true or false")
    return found


def _count(parameters: Json, key: str) -> int:
    found = parameters.get(key, 0)
    if type(found) is not int or not 0 <= found <= _MAX_BYTES:
        raise InvalidInputError(f"parameter {key!r} must be an integer of 0 or more")
    return found

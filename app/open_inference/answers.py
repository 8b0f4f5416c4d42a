"""Response bodies: JSON, followed by the bytes of binary outputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from app.contracts.errors import InvalidInputError
from app.open_inference.datatypes import (
    BYTES,
    DATATYPES,
    Array,
    Datatype,
    datatype_of,
    to_binary,
    to_json,
)
from app.open_inference.requests import InferRequest, WantedOutput
from app.serving.description import Arrays, TensorSpec


def wanted_outputs(request: InferRequest, specs: Sequence[TensorSpec]) -> Sequence[WantedOutput]:
    """Return the requested outputs, or all outputs of the model.

    Raises:
        InvalidInputError: The model lacks a requested output.
    """
    if request.outputs is None:
        return [WantedOutput(spec.name, request.is_binary) for spec in specs]
    names = [spec.name for spec in specs]
    for output in request.outputs:
        if output.name not in names:
            raise InvalidInputError(f"the model has outputs {names}, not {output.name[:100]!r}")
    return request.outputs


def encode_answer(
    head: Mapping[str, Any],
    wanted: Sequence[WantedOutput],
    found: Arrays,
    specs: Sequence[TensorSpec],
    class_names: Sequence[str] | None = None,
) -> tuple[bytes, int | None]:
    """Return a body, and the length of its JSON if binary data follows.

    Args:
        head: Fields that precede the outputs.
        wanted: Requested outputs in the answer's order.
        found: Arrays by output name.
        specs: The model's outputs.
        class_names: Class names for classifications.

    Raises:
        InvalidInputError: JSON cannot hold an output requested as JSON.
    """
    datatypes = {spec.name: spec for spec in specs}
    outputs: list[dict[str, Any]] = []
    tail: list[bytes] = []
    for output in wanted:
        values, datatype = found[output.name], datatype_of(datatypes[output.name])
        if output.num_classes:
            values = _classify(output, values, class_names or ())
            datatype = DATATYPES[BYTES]
        tensor: dict[str, Any] = {
            "name": output.name,
            "datatype": datatype.name,
            "shape": values.shape,
        }
        if output.is_binary:
            data = to_binary(datatype, values)
            tensor["parameters"] = {"binary_data_size": len(data)}
            tail.append(data)
        else:
            tensor["data"] = _json(output, datatype, values)
        outputs.append(tensor)
    text = orjson.dumps({**head, "outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY)
    if not any(output.is_binary for output in wanted):
        return text, None
    return b"".join((text, *tail)), len(text)


def _json(output: WantedOutput, datatype: Datatype, values: Array) -> Array | Sequence[str]:
    try:
        return to_json(datatype, values)
    except InvalidInputError as error:
        raise InvalidInputError(f"output {output.name!r}: {error.message}") from error


def _classify(output: WantedOutput, values: Array, class_names: Sequence[str]) -> Array:
    """Return ``score:index[:name]`` for the highest scores of every item on dimension 0."""
    if values.ndim == 0 or values.dtype.kind not in "fiu":
        raise InvalidInputError(f"output {output.name!r} has no scores to classify by")
    scores = values.reshape(len(values), -1) if values.ndim > 1 else values.reshape(1, -1)
    best = np.argsort(-scores.astype(np.float64), axis=1, kind="stable")[:, : output.num_classes]
    texts = np.empty(best.shape, object)
    for row, indices in enumerate(best.tolist()):
        for place, index in enumerate(indices):
            name = f":{class_names[index]}" if index < len(class_names) else ""
            texts[row, place] = f"{scores[row, index]:f}:{index}{name}"
    return texts if values.ndim > 1 else texts[0]

"""Networks with BF16, which ONNX Runtime takes and gives as `OrtValue` alone.

They are run one request at a time on a helper thread, beside the batcher, whose arrays are numpy's.
"""

import ctypes
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from app.contracts.errors import InvalidInputError
from app.inference.service import InferenceService, Prediction, Servable
from app.inference.sessions import LoadedModel
from app.inference.tensors import Arrays, TensorSpec
from app.protocol.datatypes import Array

_SPEC = "bfloat16"
_ELEMENT_TYPE = 16  # TensorProto.BFLOAT16


def has_bfloat16(model: LoadedModel) -> bool:
    """Return whether an input or output is BF16."""
    return any(spec.dtype == _SPEC for specs in (model.inputs, model.outputs) for spec in specs)


async def run_bfloat16(
    service: InferenceService,
    servable: Servable,
    model: LoadedModel,
    arrays: Arrays,
    outputs: Sequence[str] | None,
) -> Prediction:
    """Compute outputs; BF16 comes and goes as uint16.

    Raises:
        InvalidInputError: The network cannot compute these inputs.
    """
    names = [spec.name for spec in model.outputs] if outputs is None else list(outputs)
    asked_at = time.perf_counter()
    found, seconds = await service.in_thread(_run, model, arrays, names)
    waited = max(0.0, time.perf_counter() - asked_at - seconds)
    num_items = max((len(values) if values.ndim else 1) for values in arrays.values())
    return Prediction(servable, found, waited, seconds, num_items)


def _run(model: LoadedModel, arrays: Arrays, names: list[str]) -> tuple[Arrays, float]:
    started = time.perf_counter()
    feeds = {spec.name: _to_value(spec, arrays[spec.name]) for spec in model.inputs}
    try:
        values = model.session.run_with_ort_values(names, feeds)
    except Exception as error:  # ONNX Runtime's errors have no base of their own
        first = str(error).partition("\n")[0][:300]
        raise InvalidInputError(f"the network cannot compute these inputs: {first}") from error
    specs = {spec.name: spec for spec in model.outputs}
    found = {name: _to_array(specs[name], value) for name, value in zip(names, values, strict=True)}
    return found, time.perf_counter() - started


def _to_value(spec: TensorSpec, values: Array) -> ort.OrtValue:
    if spec.dtype != _SPEC:
        return ort.OrtValue.ortvalue_from_numpy(values)
    return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(values, _ELEMENT_TYPE)


def _to_array(spec: TensorSpec, value: Any) -> Array:  # noqa: ANN401  # an untyped library
    if spec.dtype != _SPEC:
        return np.asarray(value.numpy())
    data = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return np.frombuffer(data, np.uint16).reshape(value.shape())

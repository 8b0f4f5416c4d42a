"""ONNX Runtime sessions: open, describe and run batches."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnxruntime as ort

from app.contracts.errors import InvalidInputError
from app.contracts.settings import InferenceSettings
from app.inference.bfloat16 import BFLOAT16, to_array, to_value
from app.inference.tensors import BYTES, Arrays, TensorSpec

_PROVIDERS = {
    "cpu": ["CPUExecutionProvider"],
    # The project's tests never run this on a GPU: their machines have none.
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
}
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(string)": BYTES,
}
_ERRORS = 3  # users of this service can act on none of ONNX Runtime's warnings


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A session with its inputs and outputs.

    Attributes:
        session: Safe to run on several threads at once.
        inputs: Inputs in the file's order.
        outputs: Outputs in the file's order.
        num_bytes: Size of the file.
        batch_symbol: Name of dimension 0 if all inputs and outputs share one dynamic name.
    """

    session: ort.InferenceSession
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    num_bytes: int
    batch_symbol: str | None

    @cached_property
    def has_bfloat16(self) -> bool:
        """Whether an input or output has a type that numpy lacks."""
        return any(spec.dtype == BFLOAT16 for spec in (*self.inputs, *self.outputs))


def open_session(data: bytes, settings: InferenceSettings) -> LoadedModel:
    """Return the session of an ONNX file."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS
    # Threads that spin between runs occupy the cores that parse the next requests.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    providers = _PROVIDERS[settings.provider]
    session = ort.InferenceSession(data, options, providers=providers)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    firsts = {value.shape[0] if value.shape else None for value in (*inputs, *outputs)}
    only = firsts.pop() if len(firsts) == 1 else None
    symbol = only if isinstance(only, str) else None
    return LoadedModel(session, _specs(inputs), _specs(outputs), len(data), symbol)


def run_batch(
    model: LoadedModel, requests: Sequence[Arrays], outputs: tuple[str, ...] | None
) -> tuple[Sequence[Arrays], float]:
    """Compute several requests in one run.

    Args:
        model: The model; several requests need the batch on dimension 0 everywhere.
        requests: Arrays by input name, equal in shape except for dimension 0.
        outputs: Names of the outputs to return; None: all.

    Returns:
        Each request's outputs and the seconds of the run.

    Raises:
        InvalidInputError: The network cannot compute inputs of these shapes or values.
    """
    started = time.perf_counter()
    names = outputs or tuple(spec.name for spec in model.outputs)
    together = requests[0]
    if len(requests) > 1:
        together = {name: np.concatenate([r[name] for r in requests]) for name in requests[0]}
    try:
        found = _compute(model, names, together)
    except Exception as error:  # ONNX Runtime's errors share no base class
        shapes = {name: list(array.shape) for name, array in together.items()}
        first = str(error).partition("\n")[0][:300]
        raise InvalidInputError(f"the network cannot compute inputs {shapes}: {first}") from error
    seconds = time.perf_counter() - started
    if len(requests) == 1:
        return [dict(zip(names, found, strict=True))], seconds
    sizes = [len(next(iter(request.values()))) for request in requests]
    return _split(names, found, sizes), seconds


def _compute(model: LoadedModel, names: Sequence[str], arrays: Arrays) -> list[Any]:
    if not model.has_bfloat16:
        return [np.asarray(value) for value in model.session.run(names, arrays)]
    dtypes = {spec.name: spec.dtype for spec in (*model.inputs, *model.outputs)}
    feeds = {name: to_value(dtypes[name], array) for name, array in arrays.items()}
    values = model.session.run_with_ort_values(list(names), feeds)
    return [to_array(dtypes[name], value) for name, value in zip(names, values, strict=True)]


def _split(names: Sequence[str], found: Sequence[Any], sizes: Sequence[int]) -> Sequence[Arrays]:
    parts, start = [], 0
    for size in sizes:
        parts.append({n: v[start : start + size] for n, v in zip(names, found, strict=True)})
        start += size
    return parts


def _specs(values: Sequence[Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            value.name,
            tuple(d if isinstance(d, int) else None for d in value.shape),
            _DTYPES.get(value.type, value.type.removeprefix("tensor(").removesuffix(")")),
        )
        for value in values
    )

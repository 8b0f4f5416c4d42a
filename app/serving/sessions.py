"""ONNX Runtime sessions: check, open, describe and run a file."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from app.contracts.settings import InferenceSettings
from app.serving.description import BYTES, Arrays, LoadedModel, TensorSpec
from app.serving.providers import NAMES, providers
from app.serving.values import to_array, to_value

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(string)": BYTES,
}
# Errors are returned as answers. In the log they would contain names that the file chose, with line
# breaks and escapes.
_FATAL = 4
_AS_REQUESTED = 1  # the arena grows by what is asked for, not to the next power of two
_SHRINK = "memory.enable_memory_arena_shrinkage"
# ONNX Runtime's errors share no base class: these words are in those about memory.
_NO_MEMORY = (
    "bad_alloc",
    "bad allocation",
    "Failed to allocate memory",
    "std::length_error",
    "is smaller than requested bytes",  # the shared arena's limit
)
_SHOWN_CHARACTERS = 300


class RunError(Exception):
    """A run failed; ``code`` says how: ``input``, ``memory`` or ``stopped``."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, eq=False)
class Session:
    """An open file.

    Attributes:
        runtime: Safe to run on several threads at once.
        model: Its description.
        is_foreseen: Whether the sizes of its runs follow from the file and the number of items.
        fixed_batch: Items that one run of the file takes, if it fixes their number. The service
            takes any number, and fills the last run with the first items.
        padded_bytes: Memory that a run filled to a power of two may take, as measured; None: runs
            are not filled. GPUs' providers prepare each new size, which takes up to minutes.
        arenas: Devices whose memory its runs take, as ONNX Runtime writes them.
    """

    runtime: ort.InferenceSession
    model: LoadedModel
    is_foreseen: bool = True
    fixed_batch: int | None = None
    padded_bytes: int | None = None
    arenas: str = "cpu:0"


def unforeseen_bytes(settings: InferenceSettings) -> int:
    """Return the memory that all models with unforeseen sizes may take, with their runs."""
    # Weights lie in the arena too. Outside of it, ONNX Runtime 1.32 subtracts them from the limit
    # all the same, and has none left to enforce once they are larger.
    return settings.cache_bytes + settings.num_workers * settings.run_bytes


def create_arena(settings: InferenceSettings) -> None:
    """Create the arena of all sessions with unforeseen sizes; once in a process."""
    options = {"max_mem": unforeseen_bytes(settings), "arena_extend_strategy": _AS_REQUESTED}
    kind, place = ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, ort.OrtMemType.DEFAULT
    ort.create_and_register_allocator(
        ort.OrtMemoryInfo("Cpu", kind, 0, place), ort.OrtArenaCfg(options)
    )


def open_session(data: bytes, settings: InferenceSettings, *, is_foreseen: bool = True) -> Session:
    """Return the session of an ONNX file that `check_onnx` accepts.

    Args:
        data: The file.
        settings: Settings of serving.
        is_foreseen: Whether its sizes follow from the file; if not, it uses the arena that
            `create_arena` made.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = settings.num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    ort.set_default_logger_severity(_FATAL)
    # Threads that spin between runs occupy the cores that parse the next requests.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    if not is_foreseen:
        options.add_session_config_entry("session.use_env_allocators", "1")
    try:
        runtime = ort.InferenceSession(data, options, providers=providers(settings))
    except Exception as error:  # ONNX Runtime's errors share no base class
        if _is_about_memory(error):
            raise RunError("memory", "the model needs more memory than is left") from error
        raise
    if runtime.get_providers()[0] != NAMES[settings.provider]:  # it fell back without an error
        raise RunError("internal", f"the provider {settings.provider} no longer starts")
    inputs, outputs = runtime.get_inputs(), runtime.get_outputs()
    firsts = {value.shape[0] if value.shape else None for value in (*inputs, *outputs)}
    only = firsts.pop() if len(firsts) == 1 else None
    symbol = only if isinstance(only, str) else None
    fixed = _fixed_batch(inputs, outputs)
    specs = _specs(inputs), _specs(outputs)
    if fixed is not None:
        symbol, specs = "batch", (_any_number(specs[0], fixed), _any_number(specs[1], fixed))
    model = LoadedModel(*specs, len(data), symbol)
    if settings.provider == "cpu":
        return Session(runtime, model, is_foreseen, fixed)
    return Session(runtime, model, is_foreseen, fixed, settings.run_bytes, "cpu:0;gpu:0")


def run(
    session: Session,
    arrays: Arrays,
    outputs: Sequence[str] | None = None,
    options: ort.RunOptions | None = None,
    *,
    is_shrunk: bool = False,
) -> tuple[Arrays, float]:
    """Compute a batch.

    Args:
        session: The session.
        arrays: Arrays by input name.
        outputs: Names of the outputs to return; None: all.
        options: Lets another thread terminate the run.
        is_shrunk: Whether the run returns the memory that it took to the system.

    Returns:
        Arrays by output name, and the seconds of the run.

    Raises:
        RunError: The network cannot compute these inputs, or memory ran out, or it was terminated.
    """
    options = options or ort.RunOptions()
    options.log_severity_level = _FATAL
    if is_shrunk:
        options.add_run_config_entry(_SHRINK, session.arenas)
    names = tuple(outputs or (spec.name for spec in session.model.outputs))
    started = time.perf_counter()
    try:
        found = _compute_all(session, names, arrays, options)
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise _explain(error, arrays, options) from error
    return dict(zip(names, found, strict=True)), time.perf_counter() - started


def _compute_all(
    session: Session, names: Sequence[str], arrays: Arrays, options: ort.RunOptions
) -> list[Any]:
    """Compute a batch, in several runs if the file fixes the number of items."""
    size = session.fixed_batch or _power_of_two(session, arrays)
    count = max(map(len, arrays.values()))
    if size is None or (session.fixed_batch is None and size == count):
        return _compute(session, names, arrays, options)
    order = np.arange(-(-count // size) * size) % count
    runs = [
        _compute(session, names, {name: a[part] for name, a in arrays.items()}, options)
        for part in order.reshape(-1, size)
    ]
    return [_joined(parts, size, count) for parts in zip(*runs, strict=True)]


def _power_of_two(session: Session, arrays: Arrays) -> int | None:
    """Return the items of each run on a GPU; None if items change each other, or it is no GPU."""
    if session.padded_bytes is None or not session.model.is_independent:
        return None
    count, cost = max(map(len, arrays.values())), session.model.cost
    size = 1 << max(0, count - 1).bit_length()
    while size > 1 and cost.run_bytes + (size - 1) * cost.item_bytes > session.padded_bytes:
        size //= 2
    return size if count else None


def _joined(parts: Sequence[NDArray[Any]], size: int, count: int) -> NDArray[Any]:
    """Return an output of ``count`` items; one without a dimension for them gets it."""
    if size == 1 and parts[0].shape[:1] != (1,):
        return np.stack(parts)
    return np.concatenate(parts)[:count]


def _compute(
    session: Session, names: Sequence[str], arrays: Arrays, options: ort.RunOptions
) -> list[Any]:
    model = session.model
    if not model.has_bfloat16:
        return [np.asarray(value) for value in session.runtime.run(names, arrays, options)]
    dtypes = {spec.name: spec.dtype for spec in (*model.inputs, *model.outputs)}
    feeds = {name: to_value(dtypes[name], array) for name, array in arrays.items()}
    values = session.runtime.run_with_ort_values(list(names), feeds, options)
    return [to_array(dtypes[name], value) for name, value in zip(names, values, strict=True)]


def _explain(error: Exception, arrays: Arrays, options: ort.RunOptions) -> RunError:
    said = str(error)
    if options.terminate:
        return RunError("stopped", "the run was stopped")
    if _is_about_memory(error):
        return RunError("memory", "the run needs more memory than is left")
    shapes = {name: list(array.shape) for name, array in arrays.items()}
    first = said.partition("\n")[0][:_SHOWN_CHARACTERS]
    return RunError("input", f"the network cannot compute inputs {shapes}: {first}")


def _is_about_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)


def _fixed_batch(inputs: Sequence[Any], outputs: Sequence[Any]) -> int | None:
    """Return the number of items of a run, if the file fixes it and outputs have one for each."""
    sizes = {value.shape[0] if value.shape else None for value in inputs}
    size = sizes.pop() if len(sizes) == 1 else None
    if not isinstance(size, int) or size < 1:
        return None
    if size > 1 and any(value.shape[:1] != [size] for value in outputs):
        return None
    return size


def _any_number(specs: tuple[TensorSpec, ...], size: int) -> tuple[TensorSpec, ...]:
    """Return specifications for any number of items, of a file that fixes it."""
    return tuple(
        replace(spec, shape=(None, *(spec.shape[1:] if spec.shape[:1] == (size,) else spec.shape)))
        for spec in specs
    )


def _specs(values: Sequence[Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(
            value.name,
            tuple(d if isinstance(d, int) else None for d in value.shape),
            _DTYPES.get(value.type, value.type.removeprefix("tensor(").removesuffix(")")),
        )
        for value in values
    )

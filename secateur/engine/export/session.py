"""ONNX Runtime session with torch tensors of any type as inputs and outputs.

numpy has no bfloat16, so that type is passed as `OrtValue`. Used to compare a file with its
network, and to measure latency and served metrics. The service has its own sessions.
"""

import ctypes
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import onnxruntime as ort
import torch
from torch import Tensor

from secateur.engine.errors import ExportError
from secateur.engine.program.chunks import chunked, joined

# Type names of ONNX Runtime.
DTYPES = {
    "tensor(float)": torch.float32,
    "tensor(double)": torch.float64,
    "tensor(float16)": torch.float16,
    "tensor(bfloat16)": torch.bfloat16,
    "tensor(bool)": torch.bool,
    "tensor(uint8)": torch.uint8,
    "tensor(int8)": torch.int8,
    "tensor(int16)": torch.int16,
    "tensor(int32)": torch.int32,
    "tensor(int64)": torch.int64,
}
CPU_PROVIDER = "CPUExecutionProvider"
_OPTIONS: dict[str, dict[str, str]] = {
    CPU_PROVIDER: {},
    "CUDAExecutionProvider": {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"},
    "TensorrtExecutionProvider": {},
}
_BFLOAT16 = 16
_MAX_MESSAGE = 300
_MEMORY = ("bad_alloc", "bad allocation", "allocate memory", "smaller than requested bytes")

T = TypeVar("T")
Feeds = Any  # arrays or values by input name, or a binding; a list of them for several runs


def open_with(
    model: Path | bytes, options: ort.SessionOptions, provider: str
) -> ort.InferenceSession:
    """Return a session that computes with ``provider``; never with another one.

    Raises:
        ExportError: ONNX Runtime cannot use the provider; by itself it falls back to the CPU.
    """
    available = ort.get_available_providers()
    session = None
    if provider in available:
        session = ort.InferenceSession(model, options, providers=[(provider, _OPTIONS[provider])])
    if session is None or session.get_providers()[0] != provider:
        raise ExportError(f"ONNX Runtime cannot compute with {provider} on this worker")
    return session


def bind(session: ort.InferenceSession, feeds: dict[str, Any], device: str) -> ort.IOBinding:
    """Return arrays bound to a device, and outputs that stay there: a run then copies nothing.

    Args:
        session: The session that runs the binding.
        feeds: Arrays by input name.
        device: ONNX Runtime's name of the device, such as ``cuda``.
    """
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array, device, 0))
    for output in session.get_outputs():
        binding.bind_output(output.name, device)
    return binding


def fixed_batch(session: ort.InferenceSession) -> int | None:
    """Return the number of samples that all inputs of a file have; None if it may be any."""
    sizes = {value.shape[0] if value.shape else None for value in session.get_inputs()}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if isinstance(size, int) else None


class OnnxSession:
    """Session over one ONNX file.

    A file whose batch is fixed computes any number of samples, in runs of its size.

    Attributes:
        provider: The execution provider that computes.
    """

    def __init__(
        self,
        path: Path | bytes,
        num_threads: int | None = None,
        provider: str = CPU_PROVIDER,
    ) -> None:
        """Open the file.

        Args:
            path: The ONNX file, or its bytes.
            num_threads: Threads inside one call; None: as many as torch uses.
            provider: Execution provider.

        Raises:
            ExportError: ONNX Runtime cannot load the file, or cannot use the provider.
        """
        options = ort.SessionOptions()
        options.log_severity_level = 3  # its warnings are not actionable for users
        # Without a number ONNX Runtime binds each thread to a core, which a job may not do.
        options.intra_op_num_threads = num_threads or torch.get_num_threads()
        if num_threads is not None:
            options.inter_op_num_threads = 1
        self._session = translate_errors(lambda: open_with(path, options, provider))
        self.provider = provider
        self._names = [value.name for value in self._session.get_outputs()]
        self._inputs = {v.name: DTYPES[v.type] for v in self._session.get_inputs()}
        self._outputs = [DTYPES[value.type] for value in self._session.get_outputs()]
        self._batch_size = fixed_batch(self._session)
        types = (*self._inputs.values(), *self._outputs)
        self._needs_values = torch.bfloat16 in types

    def feeds(self, inputs: Sequence[Tensor]) -> Feeds:
        """Return the inputs of `run` in the types of the file, on the provider's device."""
        if self._batch_size is not None and len(inputs[0]) != self._batch_size:
            return [self._feeds(chunk) for chunk in chunked(inputs, self._batch_size)]
        return self._feeds(inputs)

    def _feeds(self, inputs: Sequence[Tensor]) -> Feeds:
        found: Feeds = {}
        for (name, dtype), x in zip(self._inputs.items(), inputs, strict=True):
            given = x.detach().cpu().to(dtype).contiguous()
            if not self._needs_values:
                found[name] = given.numpy()
            elif dtype is torch.bfloat16:
                bits = given.view(torch.int16).numpy()
                found[name] = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, _BFLOAT16)
            else:
                found[name] = ort.OrtValue.ortvalue_from_numpy(given.numpy())
        if self.provider == CPU_PROVIDER or self._needs_values:
            return found
        return bind(self._session, found, "cuda")

    def run(self, feeds: Feeds) -> list[Any]:
        """Return the outputs as ONNX Runtime values, those of the last of several runs.

        Raises:
            ExportError: The file cannot compute them.
        """
        several = feeds if isinstance(feeds, list) else [feeds]
        found: list[Any] = []
        for each in several:
            found = translate_errors(partial(self._run, each))
        return found

    def __call__(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the outputs as tensors.

        Raises:
            ExportError: The file cannot compute them.
        """
        size = self._batch_size
        if size is None:
            return self._tensors(self.run(self._feeds(inputs)))
        parts = [self._tensors(self.run(self._feeds(part))) for part in chunked(inputs, size)]
        return joined(parts, size, len(inputs[0]))

    def _tensors(self, found: list[Any]) -> list[Tensor]:
        if not self._needs_values:
            return [torch.from_numpy(value) for value in found]
        return [_to_tensor(v, d) for v, d in zip(found, self._outputs, strict=True)]

    def _run(self, feeds: Feeds) -> list[Any]:
        if isinstance(feeds, ort.IOBinding):
            self._session.run_with_iobinding(feeds)
            return [value.numpy() for value in feeds.get_outputs()]
        if self._needs_values:
            return list(self._session.run_with_ort_values(self._names, feeds))
        return list(self._session.run(self._names, feeds))


def _to_tensor(value: Any, dtype: torch.dtype) -> Tensor:  # noqa: ANN401  # an untyped library
    if dtype is not torch.bfloat16:
        return torch.from_numpy(value.numpy())
    data = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes())
    return torch.frombuffer(bytearray(data), dtype=dtype).view(value.shape())


def translate_errors(ask: Callable[[], T]) -> T:
    """Return what ``ask`` returns.

    Raises:
        ExportError: ONNX Runtime cannot do it.
        MemoryError: Memory ran out.
    """
    try:
        return ask()
    except (MemoryError, ExportError):
        raise
    except Exception as error:  # ONNX Runtime's errors have no common base class
        message = (str(error).splitlines() or [type(error).__name__])[0]
        if any(words in message for words in _MEMORY):
            raise MemoryError(message) from error
        raise ExportError(
            f"ONNX Runtime cannot run the exported file: {message[:_MAX_MESSAGE]}"
        ) from error

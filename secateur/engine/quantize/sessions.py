"""ONNX Runtime sessions as quantisation needs them: quiet, and with the process's threads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch
from numpy.typing import NDArray
from torch import Tensor

from secateur.engine.errors import ExportError
from secateur.engine.export.session import CPU_PROVIDER, DTYPES, translate_errors

Feeds = dict[str, NDArray[Any]]  # arrays by input name


def open_session(
    path: Path, *, is_optimised: bool = True, optimised_path: Path | None = None
) -> ort.InferenceSession:
    """Return a session on the CPU.

    Args:
        path: The ONNX file.
        is_optimised: Whether ONNX Runtime rewrites the graph.
        optimised_path: Where to write the rewritten graph.

    Raises:
        ExportError: ONNX Runtime cannot load the file.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3  # its warnings are not actionable for users
    # Without a number ONNX Runtime binds each thread to a core, which a job may not do.
    options.intra_op_num_threads = torch.get_num_threads()
    if not is_optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if optimised_path is not None:
        options.optimized_model_filepath = str(optimised_path)
    return translate_errors(lambda: ort.InferenceSession(path, options, providers=[CPU_PROVIDER]))


def has_open_batch(session: ort.InferenceSession) -> bool:
    """Return whether the first dimension of the first input may have any size."""
    shape = session.get_inputs()[0].shape
    return bool(shape) and not isinstance(shape[0], int)


def feeds_of(session: ort.InferenceSession, batch: Sequence[Tensor]) -> Feeds:
    """Return a batch in the types of the file's inputs.

    Raises:
        ExportError: The file takes types that numpy does not have.
    """
    found: Feeds = {}
    for value, x in zip(session.get_inputs(), batch, strict=True):
        dtype = DTYPES.get(value.type)
        if dtype is None or dtype is torch.bfloat16:
            raise ExportError(f"int8 files take no {value.type}, the type of input {value.name!r}")
        found[value.name] = x.detach().cpu().to(dtype).contiguous().numpy()
    return found

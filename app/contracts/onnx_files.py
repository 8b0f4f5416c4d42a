"""The check of ONNX files (`secateur.core.onnx_files`) with the service's limits.

The worker checks a job's file before it stores it. The serving process checks it again before ONNX
Runtime opens it.
"""

from typing import TYPE_CHECKING

from app.contracts.settings import LimitSettings
from secateur.core.onnx_files import OnnxError, parse_onnx

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["OnnxError", "check_onnx"]

_NODES_A_CALL = 20  # nodes that the exporter writes for one call of a model's graph, at most


def check_onnx(data: bytes, limits: LimitSettings) -> "ModelProto":
    """Return the network of a file that only computes with its own numbers, within ``limits``.

    Raises:
        OnnxError: The file does more, or exceeds a limit.
    """
    if len(data) > limits.model_bytes:
        raise OnnxError(f"has {len(data)} bytes, at most {limits.model_bytes} are allowed")
    model = parse_onnx(data, _NODES_A_CALL * limits.graph_nodes, limits.tensor_elements)
    for value in (
        *model.graph.input,
        *model.graph.output,
    ):  # Paddle writes -1; our exporter no size
        if any(dim.dim_value < 0 for dim in value.type.tensor_type.shape.dim):
            raise OnnxError(f"has the input or output {value.name[:100]!r} with a negative size")
    return model

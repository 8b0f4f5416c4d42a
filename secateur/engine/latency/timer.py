"""Time a single layer on the target, as an ONNX model run by ONNX Runtime."""

import time
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from secateur.engine.export.session import CPU_PROVIDER, bind, open_with

_OPSET = 18
_IR_VERSION = 9
_MIN_RUNS = 5
_MIN_SECONDS = 0.003
_MAX_SECONDS = 0.25
_MAX_WEIGHTS = 2**23
_OPERATORS = {"conv": "Conv", "conv_transpose": "ConvTranspose", "linear": "Gemm"}


@dataclass(frozen=True)
class LayerShape:
    """Everything that determines the latency of a layer.

    Attributes:
        kind: Convolution, transposed convolution or linear layer.
        batch_size: Samples per call.
        in_channels: Input channels.
        out_channels: Output channels.
        groups: Groups of the convolution.
        space: Spatial sizes of the input; for a linear layer the number of rows per sample.
        kernel: Kernel sizes; empty for a linear layer.
        stride: Stride per spatial dimension.
        padding: Padding of each side, per spatial dimension.
        dilation: Dilation per spatial dimension.
    """

    kind: Literal["conv", "conv_transpose", "linear"]
    batch_size: int
    in_channels: int
    out_channels: int
    groups: int = 1
    space: tuple[int, ...] = ()
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()


@dataclass
class LayerTimer:
    """Measures layers and caches the result for every shape.

    Attributes:
        num_threads: Threads used by one call.
        provider: Execution provider of ONNX Runtime.
        seconds: Measured seconds of one call, by shape.
    """

    num_threads: int = 1
    provider: str = CPU_PROVIDER
    seconds: dict[LayerShape, float] = field(default_factory=dict)

    def __call__(self, shape: LayerShape) -> float:
        """Return the seconds of one call: the fastest of several, to exclude noise."""
        cached = self.seconds.get(shape)
        if cached is None:
            part = _affordable(shape)
            cached = self._measure(part) * shape.in_channels / part.in_channels
            self.seconds[shape] = cached
        return cached

    def _measure(self, shape: LayerShape) -> float:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.num_threads
        options.inter_op_num_threads = 1
        model = _layer_model(shape)
        session = open_with(model.SerializeToString(), options, self.provider)
        x = np.random.default_rng(0).standard_normal(_input_sizes(shape), dtype=np.float32)
        run = partial(session.run, None, {"x": x})
        if self.provider != CPU_PROVIDER:
            run = partial(session.run_with_iobinding, bind(session, {"x": x}, "cuda"))
        run()  # warm-up: the first call plans memory
        fastest, spent, num_runs = float("inf"), 0.0, 0
        while (num_runs < _MIN_RUNS or spent < _MIN_SECONDS) and spent < _MAX_SECONDS:
            started = time.perf_counter()
            run()
            taken = time.perf_counter() - started
            fastest, spent, num_runs = min(fastest, taken), spent + taken, num_runs + 1
        return fastest


def _affordable(shape: LayerShape) -> LayerShape:
    """Return ``shape``, or a linear layer with fewer inputs if it has too many weights to build.

    The time of a linear layer is proportional to its weights: each is read once and used once per
    row.
    """
    if shape.kind != "linear" or shape.in_channels * shape.out_channels <= _MAX_WEIGHTS:
        return shape
    return replace(shape, in_channels=max(1, _MAX_WEIGHTS // shape.out_channels))


def _input_sizes(shape: LayerShape) -> tuple[int, ...]:
    if shape.kind == "linear":
        return (shape.batch_size * prod(shape.space), shape.in_channels)
    return (shape.batch_size, shape.in_channels, *shape.space)


def _weight_sizes(shape: LayerShape) -> tuple[int, ...]:
    if shape.kind == "linear":
        return (shape.in_channels, shape.out_channels)
    if shape.kind == "conv_transpose":
        return (shape.in_channels, shape.out_channels // shape.groups, *shape.kernel)
    return (shape.out_channels, shape.in_channels // shape.groups, *shape.kernel)


def _layer_model(shape: LayerShape) -> onnx.ModelProto:
    """Return a model of the layer followed by a ReLU, which ONNX Runtime fuses."""
    op, sizes = _OPERATORS[shape.kind], _weight_sizes(shape)
    attributes: dict[str, Any] = {}
    if shape.kind != "linear":
        attributes = {
            "group": shape.groups,
            "strides": shape.stride,
            "pads": (*shape.padding, *shape.padding),
            "dilations": shape.dilation,
        }
    weights = [
        numpy_helper.from_array(np.full(sizes, 0.5, dtype=np.float32), "w"),
        numpy_helper.from_array(np.zeros(shape.out_channels, dtype=np.float32), "b"),
    ]
    nodes = [
        helper.make_node(op, ["x", "w", "b"], ["y"], **attributes),
        helper.make_node("Relu", ["y"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, _input_sizes(shape))],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        weights,
    )
    opset = helper.make_opsetid("", _OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)

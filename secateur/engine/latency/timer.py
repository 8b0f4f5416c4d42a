"""Time a single layer on the target, as an ONNX model run by ONNX Runtime."""

import platform
import time
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper

from secateur.engine.export.session import CPU_PROVIDER, bind, open_with

_OPSET = 13
_IR_VERSION = 8
_MIN_RUNS = 5
_MIN_SECONDS = 0.003
_MAX_SECONDS = 0.25
_MAX_WEIGHTS = 2**23
_SCALE = 0.05
Activation = Literal["float32", "uint8", "int8"]
# What the integer kernels of the processor are made for.
_ACTIVATION: Activation = "int8" if platform.machine().lower() in {"arm64", "aarch64"} else "uint8"
_OPERATORS = {"conv": "Conv", "conv_transpose": "ConvTranspose", "linear": "Gemm"}

Precision = Literal["fp32", "int8"]


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
        precision: fp32, or int8 with quantised activations before and after the layer.
        seconds: Measured seconds of one call, by shape.
    """

    num_threads: int = 1
    provider: str = CPU_PROVIDER
    precision: Precision = "fp32"
    seconds: dict[LayerShape, float] = field(default_factory=dict)

    def __call__(self, shape: LayerShape) -> float:
        """Return the seconds of one call: the fastest of several, to exclude noise."""
        cached = self.seconds.get(shape)
        if cached is None:
            part = affordable(shape)
            cached = self._measure(part) * shape.in_channels / part.in_channels
            self.seconds[shape] = cached
        return cached

    def _measure(self, shape: LayerShape) -> float:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.num_threads
        options.inter_op_num_threads = 1
        activation = _ACTIVATION if self.precision == "int8" else "float32"
        model = layer_model(shape, activation)
        session = open_with(model.SerializeToString(), options, self.provider)
        sizes = session.get_inputs()[0].shape
        x = np.random.default_rng(0).standard_normal(sizes, dtype=np.float32)
        if self.precision == "int8":
            x = (64 + 16 * x).clip(0, 127).astype(activation)
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


def affordable(shape: LayerShape) -> LayerShape:
    """Return ``shape``, or a linear layer with fewer inputs if it has too many weights to build.

    The time of a linear layer is proportional to its weights: each is read once and used once per
    row.
    """
    if shape.kind != "linear" or shape.in_channels * shape.out_channels <= _MAX_WEIGHTS:
        return shape
    return replace(shape, in_channels=max(1, _MAX_WEIGHTS // shape.out_channels))


def _input_sizes(shape: LayerShape, *, is_last: bool = False) -> tuple[int, ...]:
    """Return the sizes of a layer's input; ``is_last``: with channels last."""
    if shape.kind == "linear":
        return (shape.batch_size * prod(shape.space), shape.in_channels)
    if is_last:
        return (shape.batch_size, *shape.space, shape.in_channels)
    return (shape.batch_size, shape.in_channels, *shape.space)


def _weight_sizes(shape: LayerShape) -> tuple[int, ...]:
    if shape.kind == "linear":
        return (shape.in_channels, shape.out_channels)
    if shape.kind == "conv_transpose":
        return (shape.in_channels, shape.out_channels // shape.groups, *shape.kernel)
    return (shape.out_channels, shape.in_channels // shape.groups, *shape.kernel)


def layer_model(shape: LayerShape, activation: Activation = "float32") -> onnx.ModelProto:
    """Return a model of the layer followed by a ReLU, which ONNX Runtime fuses.

    With activations of eight bits it is the integer layer between quantised neighbours: they are
    the model's input and output, so that no conversion is timed. `secateur_bench.py` writes the
    same models.
    """
    op, is_float = _OPERATORS[shape.kind], activation == "float32"
    attributes: dict[str, Any] = {}
    if shape.kind != "linear":
        attributes = {
            "group": shape.groups,
            "strides": shape.stride,
            "pads": (*shape.padding, *shape.padding),
            "dilations": shape.dilation,
        }
    inputs = ["x", "w", "b"] if is_float else ["xf", "wf", "bf"]
    nodes = [
        helper.make_node(op, inputs, ["y"], **attributes),
        helper.make_node("Relu", ["y"], ["z"]),
    ]
    if not is_float:
        axis = 0 if shape.kind == "conv" else 1
        # Integer convolutions keep channels last from layer to layer; so does this one.
        x = "xt" if shape.kind == "conv" else "x"
        dequantize = partial(helper.make_node, "DequantizeLinear")
        nodes = [
            dequantize([x, "scale", "zero"], ["xf"]),
            dequantize(["w", "scales", "zeros"], ["wf"], axis=axis),
            dequantize(["b", "bias_scales", "bias_zeros"], ["bf"], axis=0),
            *nodes,
            helper.make_node("QuantizeLinear", ["z", "scale", "zero"], ["q"]),
        ]
    last = "z" if is_float else "q"
    if shape.kind == "conv" and not is_float:
        last, axes = "qt", range(2, 2 + len(shape.space))
        there, back = (0, axes[-1], *range(1, axes[-1])), (0, *axes, 1)
        nodes.insert(0, helper.make_node("Transpose", ["x"], ["xt"], perm=there))
        nodes.append(helper.make_node("Transpose", ["q"], ["qt"], perm=back))
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(activation))
    sizes = _input_sizes(shape, is_last=shape.kind == "conv" and not is_float)
    graph = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", kind, sizes)],
        [helper.make_tensor_value_info(last, kind, None)],
        [numpy_helper.from_array(each, name) for name, each in _tensors(shape, activation).items()],
    )
    opset = helper.make_opsetid("", _OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=_IR_VERSION)


def _tensors(shape: LayerShape, activation: str) -> dict[str, np.ndarray]:
    sizes, bias = _weight_sizes(shape), shape.out_channels
    if activation == "float32":
        return {"w": np.full(sizes, 0.5, np.float32), "b": np.zeros(bias, np.float32)}
    scale, scales = np.array(_SCALE, np.float32), np.full(bias, _SCALE, np.float32)
    return {
        "w": np.ones(sizes, np.int8),
        "b": np.zeros(bias, np.int32),
        "scale": scale,
        "zero": np.array(0 if activation == "uint8" else -128, activation),
        "scales": scales,
        "zeros": np.zeros(bias, np.int8),
        "bias_scales": scales * scale,
        "bias_zeros": np.zeros(bias, np.int32),
    }

"""Every operator that can be imported computes what ONNX Runtime computes."""

from typing import Any

import numpy as np
import pytest
import torch
from onnx import ModelProto, NodeProto

from secateur.engine.export.session import OnnxSession
from secateur.engine.onnx_in.admission import relative_error
from secateur.engine.onnx_in.file import parse
from secateur.engine.onnx_in.importer import Importer
from secateur.engine.onnx_in.operators.table import OPERATORS
from secateur.engine.program.limits import ModelLimits
from tests.fixtures.onnx_graphs import drawn, network, node

IMAGE, ROWS = ("n", 4, 6, 6), ("n", 6)
_UNARY = """Sqrt Exp Log Abs Neg Reciprocal Floor Ceil Round Sign Erf Sin Cos Tan Tanh Relu Sigmoid
    Softplus Mish HardSwish Softsign Identity Sinh Cosh Asinh Atan Selu Elu Celu ThresholdedRelu
    GlobalAveragePool GlobalMaxPool MeanVarianceNormalization""".split()
_REDUCE = """ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare
    ReduceLogSum ReduceLogSumExp""".split()
_PAIRS = "Add Sub Mul Div Min Max Pow Sum Mean".split()
_COMPARE = "Equal Greater GreaterOrEqual Less LessOrEqual".split()


def one(operator: str, inputs: str = "x", **more: Any) -> tuple[list[NodeProto], dict[str, Any]]:
    """Return a case with one node, and the options of the network."""
    names = ("x", "weights", "outputs", "opset")
    options: dict[str, Any] = {name: more.pop(name) for name in names if name in more}
    return [node(operator, inputs, options.get("outputs", "y"), **more)], options


def boolean(operator: str, inputs: str = "x w") -> tuple[list[NodeProto], dict[str, Any]]:
    """Return a case whose result is cast to numbers."""
    nodes = [node(operator, inputs, "b"), node("Cast", "b", to=1)]
    return nodes, {"weights": {"w": np.float32(0.5)}}


def recurrent(operator: str, direction: str, **more: Any) -> tuple[list[NodeProto], dict[str, Any]]:
    """Return a case of a recurrent layer with a hidden width of 3 on 4 channels."""
    gates, both = (
        {"LSTM": 4, "GRU": 3, "RNN": 1}[operator],
        2 if direction == "bidirectional" else 1,
    )
    weights = {
        "w": drawn(both, gates * 3, 4),
        "r": drawn(both, gates * 3, 3, seed=1),
        "b": drawn(both, gates * 6, seed=2),
    }
    outputs = "y h c" if operator == "LSTM" else "y h"
    steps = node("Transpose", "x", "t", perm=[1, 0, 2])
    made = node(operator, "t w r b", outputs, hidden_size=3, direction=direction, **more)
    return [steps, made], {"weights": weights, "outputs": outputs, "x": ("n", 5, 4)}


CONV = {"w": drawn(6, 2, 3, 3), "b": drawn(6)}
UP = {"s": np.array([1, 1, 2, 2], np.float32)}
ODD = {"s": np.array([1, 1, 1.5, 0.7], np.float32)}
POINTS = {"i": np.array([[0, 1], [3, 2]]), "u": drawn(2, 6)}


def resized(mode: str, how: str, **more: Any) -> tuple[list[NodeProto], dict[str, Any]]:
    """Return a case of Resize by 1.5 and 0.7."""
    return one(
        "Resize", "x _ s", mode=mode, coordinate_transformation_mode=how, weights=ODD, **more
    )


def sequence(*inputs: str, **more: Any) -> tuple[list[NodeProto], dict[str, Any]]:
    """Return a case that splits by 1 and 3, or by what ``inputs`` names, and joins the parts."""
    return [
        node("SplitToSequence", " ".join(("x", *inputs)), "q", axis=1, **more),
        node("SequenceAt", "q one", "b"), node("SequenceAt", "q zero", "a"),
        node("SequenceConstruct", "b a", "r"), node("ConcatFromSequence", "r", axis=2),
    ], {"weights": {"zero": np.array(0), "one": np.array(-1), "s": np.array([2, 2]),
                    "two": np.array(2)}}  # fmt: skip


CASES: dict[str, tuple[list[NodeProto], dict[str, Any]]] = {
    **{name: one(name) for name in _UNARY},
    **{name: one(name, axes=[2, 3], opset=13) for name in _REDUCE if name != "ReduceSum"},
    **{
        f"{name} of opset 18": one(name, "x a", weights={"a": np.array([1])}, keepdims=0)
        for name in _REDUCE
    },
    **{name: one(name, "x w", weights={"w": drawn(4, 1, 1, low=0.1)}) for name in _PAIRS},
    **{f"{name} with a number": one(name, "x w", weights={"w": np.float32(2)}) for name in _PAIRS},
    "Sub from a number": one("Sub", "w x", weights={"w": np.float32(2)}),
    "Div of a number": one("Div", "w x", weights={"w": np.float32(2)}),
    "Mod": one("Mod", "x w", fmod=1, weights={"w": np.float32(0.3)}),
    **{name: boolean(name) for name in _COMPARE},
    "IsNaN": boolean("IsNaN", "x"),
    "IsInf": boolean("IsInf", "x"),
    "Not And Or Xor": (
        [
            node("Less", "x w", "a"), node("Greater", "x v", "b"), node("Not", "a", "c"),
            node("And", "c b", "d"), node("Or", "a d", "e"), node("Xor", "e c", "f"),
            node("Where", "f x w"),
        ],
        {"weights": {"w": np.float32(0.4), "v": np.float32(0.2)}},
    ),
    "Acos": one("Acos"), "Asin": one("Asin"), "Atanh": one("Atanh"),
    "Acosh": ([node("Add", "x w", "a"), node("Acosh", "a")], {"weights": {"w": np.float32(2)}}),
    "Clip": one("Clip", "x a b", weights={"a": np.float32(0.2), "b": np.float32(0.7)}),
    "Clip of one side": one("Clip", "x _ b", weights={"b": np.float32(0.7)}),
    "Clip of opset 7": one("Clip", min=0.2, max=0.6, opset=7),
    "CastLike": (
        [node("CastLike", "x i", "a"), node("CastLike", "a x")],
        {"weights": {"i": np.array([1])}},
    ),
    "Dropout": one("Dropout"),
    "LeakyRelu": ([node("Sub", "x w", "a"), node("LeakyRelu", "a", alpha=0.2)],
                  {"weights": {"w": np.float32(0.5)}}),
    "PRelu": ([node("Sub", "x c", "a"), node("PRelu", "a w")],
              {"weights": {"c": np.float32(0.5), "w": drawn(4, 1, 1)}}),
    "PRelu of one slope": ([node("Sub", "x c", "a"), node("PRelu", "a w")],
                           {"weights": {"c": np.float32(0.5), "w": drawn(1)}}),
    "HardSigmoid": one("HardSigmoid", alpha=1 / 6, beta=0.5),
    "HardSigmoid of Paddle": one("HardSigmoid", alpha=0.2, beta=0.5),
    "Gelu": one("Gelu", opset=20), "Gelu tanh": one("Gelu", approximate="tanh", opset=20),
    "Softmax": one("Softmax", axis=1), "LogSoftmax": one("LogSoftmax", axis=-1),
    "Softmax over the rest": one("Softmax", axis=1, opset=9),
    "Conv": one("Conv", "x w b", weights=CONV, group=2, pads=[1, 1, 1, 1], strides=[2, 2]),
    "Conv, uneven padding": one("Conv", "x w", weights=CONV, group=2, pads=[0, 1, 2, 1]),
    "Conv, SAME_UPPER": one("Conv", "x w", weights=CONV, group=2, auto_pad="SAME_UPPER",
                            strides=[2, 2]),
    "Conv, SAME_LOWER": one("Conv", "x w", weights=CONV, group=2, auto_pad="SAME_LOWER",
                            strides=[2, 2]),
    "Conv, VALID": one("Conv", "x w", weights=CONV, group=2, auto_pad="VALID"),
    "Conv of a sequence": one("Conv", "x w", weights={"w": drawn(2, 4, 3)}, x=("n", 4, 9)),
    "Conv of a volume": one("Conv", "x w", weights={"w": drawn(2, 2, 2, 2, 2)},
                            x=("n", 2, 3, 4, 5)),
    "ConvTranspose": one("ConvTranspose", "x w b", weights={"w": drawn(4, 3, 3, 3), "b": drawn(3)},
                         strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    "ConvTranspose, uneven": one("ConvTranspose", "x w", weights={"w": drawn(4, 3, 3, 3)},
                                 strides=[2, 2], pads=[0, 0, 1, 1]),
    "ConvTranspose, shape": one("ConvTranspose", "x w", weights={"w": drawn(4, 3, 3, 3)},
                                strides=[2, 2], output_shape=[12, 12]),
    "MaxPool": one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "MaxPool, uneven": one("MaxPool", kernel_shape=[2, 2], pads=[0, 0, 1, 1]),
    "MaxPool, rounded up": one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    "AveragePool": one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    "AveragePool, with padding": one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1],
                                     count_include_pad=1),
    "AveragePool, uneven": one("AveragePool", kernel_shape=[3, 3], strides=[2, 2],
                               auto_pad="SAME_UPPER"),
    "BatchNormalization": one(
        "BatchNormalization", "x s b m v", epsilon=1e-3,
        weights={"s": drawn(4), "b": drawn(4), "m": drawn(4), "v": drawn(4, low=0.5)},
    ),
    "InstanceNormalization": one("InstanceNormalization", "x s b",
                                 weights={"s": drawn(4), "b": drawn(4)}),
    "LayerNormalization": one("LayerNormalization", "x s b", axis=-1,
                              weights={"s": drawn(6), "b": drawn(6)}),
    "GroupNormalization": one("GroupNormalization", "x s b", num_groups=2, opset=21,
                              weights={"s": drawn(4), "b": drawn(4)}),
    "LRN": one("LRN", size=3, alpha=0.01), "LpNormalization": one("LpNormalization", axis=1, p=2),
    "MatMul": one("MatMul", "x w", weights={"w": drawn(6, 5)}, x=ROWS),
    "Gemm": one("Gemm", "x w b", weights={"w": drawn(5, 6), "b": drawn(5)}, transB=1, x=ROWS),
    "Gemm of TensorFlow": one("Gemm", "x w b", weights={"w": drawn(6, 5), "b": drawn(5)}, x=ROWS),
    "Gemm with factors": one("Gemm", "x w b", weights={"w": drawn(5, 6), "b": drawn(1)}, transB=1,
                             alpha=0.5, beta=2.0, x=ROWS),
    "Einsum": one("Einsum", "x w", equation="nchw, ck -> nkhw", weights={"w": drawn(4, 2)}),
    "Reshape": one("Reshape", "x s", weights={"s": np.array([0, -1])}),
    "Flatten": one("Flatten"), "Flatten at 2": one("Flatten", axis=2),
    "Transpose": one("Transpose", perm=[0, 2, 3, 1]),
    "Squeeze Unsqueeze": (
        [node("ReduceMean", "x", "a", axes=[3]), node("Squeeze", "a a3", "b"),
         node("Unsqueeze", "b a1")],
        {"weights": {"a3": np.array([3]), "a1": np.array([1, -1])}, "opset": 13},
    ),
    "Squeeze Unsqueeze of opset 9": (
        [node("ReduceMean", "x", "a", axes=[3]), node("Squeeze", "a", "b", axes=[3]),
         node("Unsqueeze", "b", axes=[1])],
        {"opset": 9},
    ),
    "Concat": one("Concat", "x x", axis=1),
    "Split": one("Split", outputs="y z", axis=1, num_outputs=2),
    "Split by sizes": one("Split", "x s", outputs="y z", axis=1, weights={"s": np.array([1, 3])}),
    "Split of opset 9": one("Split", outputs="y z", axis=1, split=[1, 3], opset=9),
    "Slice": one("Slice", "x s e a t", weights={
        "s": np.array([1, 0]), "e": np.array([3, 2**62]), "a": np.array([1, 3]),
        "t": np.array([1, 2])}),
    "Slice backwards": one("Slice", "x s e a t", weights={
        "s": np.array([-1]), "e": np.array([-(2**62)]), "a": np.array([1]), "t": np.array([-1])}),
    "Slice of opset 9": one("Slice", starts=[1], ends=[-1], axes=[2], opset=9),
    "Gather": one("Gather", "x i", axis=1, weights={"i": np.array([2, 0, -1])}),
    "Gather one": one("Gather", "x i", axis=1, weights={"i": np.array(-1)}),
    "Gather a table": one("Gather", "x i", axis=1, weights={"i": np.array([[2, 0], [1, 1]])}),
    "GatherElements": one("GatherElements", "x i", axis=3,
                          weights={"i": np.zeros((2, 4, 6, 2), np.int64)}),
    "Expand": one("Expand", "x s", weights={"s": np.array([2, 1, 1, 6, 1])}, x=("n", 4, 1, 3)),
    "Tile": one("Tile", "x r", weights={"r": np.array([1, 2, 1, 2])}),
    "Pad": one("Pad", "x p v", weights={"p": np.array([0, 1, 1, 2, 0, 0, 1, 0]),
                                        "v": np.float32(0.5)}),
    "Pad by reflection": one("Pad", "x p", mode="reflect",
                             weights={"p": np.array([0, 0, 1, 2, 0, 0, 1, 0])}),
    "Pad with the edge": one("Pad", "x p", mode="edge",
                             weights={"p": np.array([0, 0, 1, 2, 0, 0, 1, 0])}),
    "Pad of opset 9": one("Pad", pads=[0, 0, 1, 2, 0, 0, 1, 0], value=0.1, opset=9),
    "DepthToSpace": one("DepthToSpace", blocksize=2),
    "DepthToSpace CRD": one("DepthToSpace", blocksize=2, mode="CRD"),
    "SpaceToDepth": one("SpaceToDepth", blocksize=2), "Trilu": one("Trilu", upper=0),
    "ArgMax OneHot": (
        [node("ArgMax", "x", "i", axis=1, keepdims=0), node("OneHot", "i d v", axis=1)],
        {"weights": {"d": np.array(4), "v": np.array([0.25, 2], np.float32)}},
    ),
    "ArgMin": ([node("ArgMin", "x", "i", axis=1), node("Cast", "i", to=1)], {}),
    "TopK": ([node("TopK", "x k", "y i", axis=1)], {"weights": {"k": np.array([2])}}),
    "CumSum": one("CumSum", "x a", weights={"a": np.array(1)}),
    "Upsample": one("Upsample", "x s", mode="nearest", weights=UP, opset=9),
    "Resize of opset 10": one("Resize", "x s", mode="nearest", weights=UP, opset=10),
    "Resize": one("Resize", "x _ s", mode="nearest", weights=UP,
                  coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    "Resize, half pixels": one("Resize", "x _ s", mode="nearest", weights=UP),
    "Resize, linear": one("Resize", "x _ _ s", mode="linear",
                          weights={"s": np.array([2, 4, 9, 11])}),
    "Resize, corners": one("Resize", "x _ _ s", mode="linear",
                           coordinate_transformation_mode="align_corners",
                           weights={"s": np.array([2, 4, 9, 11])}),
    "Resize, cubic": one("Resize", "x _ s", mode="cubic", weights=UP),
    **{
        f"Resize, nearest, {how}, {rounding}": resized("nearest", how, nearest_mode=rounding)
        for how in ("half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric",
                    "tf_half_pixel_for_nn")
        for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        if (how, rounding) != ("tf_half_pixel_for_nn", "ceil")
    },
    **{
        f"Resize, {mode}, {how}": resized(mode, how)
        for mode in ("linear", "cubic")
        for how in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel",
                    "half_pixel_symmetric")
    },
    "Resize, linear, antialias": resized("linear", "half_pixel", antialias=1),
    "Resize, cubic, antialias": resized("cubic", "half_pixel", antialias=1),
    "Resize, cubic of TensorFlow": resized("cubic", "half_pixel", cubic_coeff_a=-0.5,
                                           exclude_outside=1),
    "Resize of a sequence": one("Resize", "x _ _ s", mode="linear", x=("n", 4, 6),
                                weights={"s": np.array([2, 4, 9])}),
    "Resize of opset 10, linear": one("Resize", "x s", mode="linear", weights=UP, opset=10),
    "Upsample, linear": one("Upsample", "x s", mode="linear", weights=UP, opset=9),
    "SplitToSequence SequenceAt SequenceConstruct ConcatFromSequence": sequence("s"),
    "SplitToSequence by one size": sequence("two"),
    "SplitToSequence into slices": sequence(keepdims=1),
    "SplitToSequence without the axis": (
        [node("SplitToSequence", "x", "q", axis=1, keepdims=0), node("SequenceAt", "q one", "a"),
         node("SequenceConstruct", "a a", "r"),
         node("ConcatFromSequence", "r", axis=1, new_axis=1)],
        {"weights": {"one": np.array(1)}},
    ),
    "GatherND": ([node("Transpose", "x", "t", perm=[1, 2, 0, 3]), node("GatherND", "t i", "g"),
                  node("Transpose", "g", perm=[1, 0, 2])], {"weights": POINTS}),
    "GatherND of samples": one("GatherND", "x i", batch_dims=1, x=("n", 4, 6),
                               weights={"i": np.array([[[0, 1]], [[3, -1]]])}),
    "ScatterND": ([node("ScatterND", "w i u", "s"), node("Add", "x s")],
                  {"weights": {"w": drawn(4, 6, 6), **POINTS}}),
    "ScatterND into samples": one("ScatterND", "x i u", x=("n", 4, 6), weights={
        "i": np.array([[0, 1], [1, 3]]), "u": drawn(2, 6)}),
    "ScatterND with a sum": one("ScatterND", "x i u", reduction="add", x=("n", 4, 6), weights={
        "i": np.array([[0, 1], [0, 1]]), "u": drawn(2, 6)}),
    "ScatterElements": one("ScatterElements", "x i u", axis=1, x=("n", 4), weights={
        "i": np.array([[1, -1], [0, 2]]), "u": drawn(2, 2)}),
    "ScatterElements with a sum": one("ScatterElements", "x i u", axis=1, reduction="add",
                                      x=("n", 4), weights={
        "i": np.array([[1, 1], [0, 2]]), "u": drawn(2, 2)}),
    "Scatter of opset 9": one("Scatter", "x i u", axis=1, x=("n", 4), opset=9, weights={
        "i": np.array([[1, 3], [0, 2]]), "u": drawn(2, 2)}),
    "LpPool": one("LpPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], p=2),
    "GlobalLpPool": one("GlobalLpPool", p=3),
    "Shrink": one("Shrink", lambd=0.4, bias=0.1),
    "Det": one("Det", x=("n", 2, 4, 4)),
    "BitwiseNot BitwiseAnd BitwiseOr BitwiseXor": (
        [node("Mul", "x w", "m"), node("Cast", "m", "i", to=6), node("BitwiseNot", "i", "n"),
         node("BitwiseAnd", "n k", "a"), node("BitwiseOr", "a i", "o"),
         node("BitwiseXor", "o k", "z"), node("Cast", "z", to=1)],
        {"weights": {"w": np.float32(9), "k": np.array(5, np.int32)}},
    ),
    "CumSum, exclusive": one("CumSum", "x a", exclusive=1, weights={"a": np.array(1)}),
    "CumSum, reverse": one("CumSum", "x a", reverse=1, exclusive=1, weights={"a": np.array(2)}),
    "Col2Im": one("Col2Im", "x i b", x=("n", 8, 9), weights={
        "i": np.array([4, 4]), "b": np.array([2, 2])}),
    "ReverseSequence": one("ReverseSequence", "x l", time_axis=1, batch_axis=0, x=("n", 5, 3),
                           weights={"l": np.array([5, 5])}),
    "GridSample": (
        [node("Slice", "x s e a", "f"), node("Transpose", "f", "g", perm=[0, 2, 3, 1]),
         node("GridSample", "x g", mode="bilinear")],
        {"weights": {"s": np.array([0]), "e": np.array([2]), "a": np.array([1])}},
    ),
    "Shape Size": (
        [node("Shape", "x", "s"), node("Size", "x", "c"), node("Cast", "c", "f", to=1),
         node("Cast", "s", "t", to=1), node("ReduceSum", "t", "u"), node("Add", "f u", "v"),
         node("Add", "x v")],
        {},
    ),
    "ConstantOfShape Range": (
        [node("Shape", "x", "s"), node("ConstantOfShape", "s", "z"), node("Range", "a b c", "r"),
         node("Add", "z r", "q"), node("Add", "x q")],
        {"weights": {"a": np.float32(0), "b": np.float32(6), "c": np.float32(1)}},
    ),
    **{f"LSTM {each}": recurrent("LSTM", each) for each in ("forward", "reverse", "bidirectional")},
    **{f"RNN {each}": recurrent("RNN", each) for each in ("forward", "reverse", "bidirectional")},
    "RNN with ReLU": recurrent("RNN", "forward", activations=["Relu"]),
    **{
        f"GRU {each}": recurrent("GRU", each, linear_before_reset=1)
        for each in ("forward", "reverse", "bidirectional")
    },
}  # fmt: skip
# Newer than the runtime's or the file's opset in most installations; tried in `test_admission`.
UNTRIED = {"Swish", "RMSNormalization", "Constant"}
# Refused with a hint; see `test_refusals`.
REFUSED = {"NonMaxSuppression", "NonZero", "Compress", "Unique"}


def compare(model: ModelProto, x: torch.Tensor) -> float:
    """Return the largest relative error of the importer against ONNX Runtime."""
    file = parse(model, ModelLimits(), None)
    importer = Importer(file)
    values = importer.run((x,))
    theirs = OnnxSession(model.SerializeToString())([x])
    ours = [values[name] for name in file.output_names]
    return max(
        relative_error(torch.as_tensor(a).float(), b.float())
        for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("name", CASES)
def test_operator(name: str) -> None:
    nodes, options = CASES[name]
    shape = options.get("x", IMAGE)
    model = network(*nodes, **{"x": shape, **options})
    if "TopK" in name:
        del model.graph.output[1:]
    sizes = [2 if size == "n" else size for size in shape]
    x = torch.from_numpy(drawn(*sizes, seed=3, low=0.05, high=0.95))
    assert compare(model, x) < 1e-5


def test_every_operator_is_tried() -> None:
    tried = {proto.op_type for nodes, _ in CASES.values() for proto in nodes}
    assert tried == OPERATORS.keys() - UNTRIED - REFUSED

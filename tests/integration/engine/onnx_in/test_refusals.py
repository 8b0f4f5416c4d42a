"""Files that cannot be imported are refused, and the message names the node or the limit."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper

from secateur.engine.errors import ModelRejectedError, ModelTooLargeError
from secateur.engine.onnx_in.reader import read_onnx
from secateur.engine.program.limits import ModelLimits
from tests.fixtures.onnx_graphs import drawn, network, node, saved

BFLOAT16 = helper.tensor_dtype_to_np_dtype(TensorProto.BFLOAT16)
CONV = {"w": drawn(4, 3, 3, 3)}


def quantised() -> ModelProto:
    weights = {"w": np.ones((4, 3, 3, 3), np.int8), "s": np.float32(1), "z": np.uint8(0)}
    nodes = (
        node("QuantizeLinear", "x s z", "q"),
        node("ConvInteger", "q w", "i"),
        node("Cast", "i", to=1),
    )
    return network(*nodes, weights=weights)


def with_function() -> ModelProto:
    model = network(node("Relu", "x"))
    imports = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("f", "g", ["a"], ["b"], [], imports))
    return model


def with_external_data() -> ModelProto:
    model = network(node("Conv", "x w"), weights=CONV)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return model


def with_branch() -> ModelProto:
    model = network(node("Relu", "x"))
    inner = model.graph.__class__()
    inner.CopyFrom(model.graph)
    model.graph.node.append(helper.make_node("If", ["x"], ["z"], then_branch=inner))
    return model


def two_batches() -> ModelProto:
    model = network(node("Add", "x z"))
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [4, 3, 8, 8]))
    return model


def batch_of(size: int) -> ModelProto:
    return network(node("Relu", "x"), x=(size, 3, 8, 8))


def empty_and_huge() -> ModelProto:
    model = network(node("Add", "x w"), weights={"w": np.zeros([0], np.float32)})
    model.graph.initializer[0].dims.extend([2**62, 2**62])
    return model


def deep_text() -> ModelProto:
    model = network(node("Relu", "x"))
    model.graph.node[0].name = "a\nb" * 5000
    model.graph.node[0].op_type = "Nothing" * 1000
    return model


REFUSED: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "quantised": (quantised, r"'/QuantizeLinear/q' \(QuantizeLinear\) is quantised"),
    "unknown operator": (lambda: network(node("Unheard", "x")), r"\(Unheard\) is not an operator"),
    "other library": (
        lambda: network(node("Relu", "x", domain="com.microsoft")), "of 'com.microsoft'"),
    "function": (with_function, "defines 1 functions"),
    "branch": (with_branch, "a branch or a loop: 'If'"),
    "data elsewhere": (with_external_data, "in another file"),
    "old opset": (lambda: network(node("Relu", "x"), opset=6), "opset 6; opsets 7 to"),
    "new opset": (lambda: network(node("Relu", "x"), opset=999), "opset 999"),
    "text as input": (
        lambda: network(node("Identity", "x"), dtype=TensorProto.STRING), "a tensor of numbers"),
    "boxes of samples": (
        lambda: network(node("NonMaxSuppression", "x s"), x=("n", 5, 4),
                        weights={"s": drawn(1, 2, 5)}), "Cut the file before it"),
    "places of samples": (lambda: network(node("NonZero", "x")), "Cut the file before it"),
    "values of other samples": (
        lambda: network(node("Reshape", "x m", "f"), node("Shape", "x", "s", start=0, end=1),
                        node("Range", "z s o", "r"), node("Gather", "f r"),
                        x=("n", 2), weights={"m": np.array([-1]), "z": np.array(0),
                                             "o": np.array(1)}), "some of the samples"),
    "positions in the samples": (
        lambda: network(node("Reshape", "x m", "f"), node("Cast", "f", "i", to=7),
                        node("Gather", "f i"), x=("n", 2), weights={"m": np.array([-1])}),
        "positions that the samples decide"),
    "any size": (lambda: network(node("Relu", "x"), x=("n", 3, "h", "w")), "sizes 3, any, any"),
    "index outside": (
        lambda: network(node("Gather", "x i", axis=1), weights={"i": np.array([7, 0])}),
        "cannot be computed"),
    "two outputs of one name": (
        lambda: network(node("Relu", "x"), outputs="y y"), "two outputs of one name"),
    "no input": (
        lambda: network(node("Relu", "w"), weights={"x": drawn(1), "w": drawn(1)}), "no input"),
    "cycle": (lambda: network(node("Add", "x y")), "reads 'y' before anything makes it"),
    "made twice": (lambda: network(node("Relu", "x"), node("Abs", "x")), "makes 'y' twice"),
    "nothing made": (lambda: network(node("Relu", "x", "z")), "nothing makes the output 'y'"),
    "wrong shapes": (
        lambda: network(node("Conv", "x w"), weights={"w": drawn(4, 5, 3, 3)}), r"\(Conv\) cannot"),
    "no arguments": (lambda: network(node("Conv", "x")), r"\(Conv\) has no input 1"),
    "dependent size": (
        lambda: network(node("Reshape", "x i"), weights={"i": drawn(2)}), "Reshape"),
    "samples as sizes": (
        lambda: network(node("Cast", "x", "i", to=7), node("Tile", "x i")),
        "takes the input 'i' from the samples"),
    "one batch only": (
        lambda: network(node("Reshape", "x s"), weights={"s": np.array([2, 192])}), r"\(Reshape\)"),
    "joined samples": (lambda: network(node("Flatten", "x", axis=0)), "all samples into one row"),
    "some samples": (
        lambda: network(node("Gather", "x i"), weights={"i": np.array(0)}), "some of the samples"),
    "mean of four samples": (
        lambda: network(node("ReduceMean", "x i", "y"), x=(4, 3, 8, 8),
                        weights={"i": np.array([0])}), "may depend on each other"),
    "two batches": (two_batches, "different numbers of samples: 4, any"),
    "positions": (
        lambda: network(node("MaxPool", "x", "y i", kernel_shape=[2, 2]), node("Cast", "i", "z",
                        to=1), outputs="y z"), "positions of the maxima"),
    "not finite": (
        lambda: network(node("Conv", "x w"), weights={"w": drawn(4, 3, 3, 3) * np.inf}),
        "NaN or infinite"),
    "bfloat16": (
        lambda: network(node("Conv", "x w"), weights={"w": CONV["w"].astype(BFLOAT16)},
                        dtype=TensorProto.BFLOAT16), "'w' of the ONNX file has the type bfloat16"),
    "text": (
        lambda: network(node("Add", "x w"), weights={"w": np.array(["a"], object)}), "string"),
    "huge constant": (
        lambda: network(node("ConstantOfShape", "s", "z"), node("Add", "x z"),
                        weights={"s": np.array([2**30, 2**20])}), "."),
    "huge range": (
        lambda: network(node("Range", "a b c", "z"), node("Add", "x z"), weights={
            "a": np.float32(0), "b": np.float32(1e30), "c": np.float32(1e-30)}), "."),
    "zero step": (
        lambda: network(node("Range", "a a a", "z"), node("Add", "x z"),
                        weights={"a": np.float32(0)}), "."),
    "empty and huge": (empty_and_huge, "impossible shape"),
    "long texts": (deep_text, "is not an operator"),
    "peepholes": (
        lambda: network(node("LSTM", "x w r _ _ _ _ p", hidden_size=2), x=("n", 4, 3), weights={
            "w": drawn(1, 8, 3), "r": drawn(1, 8, 2), "p": drawn(1, 6)}), "peepholes"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refusal(name: str, tmp_path: Path) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ModelRejectedError, match=message) as caught:
        read_onnx(saved(make(), tmp_path))
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert "torch.export" not in caught.value.hint


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (ModelLimits(tensor_elements=100), "108 elements, at most 100"),
        (ModelLimits(macs=10), "multiply-accumulates for one sample, at most 10"),
        (ModelLimits(activation_bytes=100), "bytes for its values .*, at most|at most 100"),
    ],
)
def test_limits_hold(limits: ModelLimits, message: str, tmp_path: Path) -> None:
    path = saved(network(node("Conv", "x w"), weights=CONV, x=("n", 3, 4, 4)), tmp_path)
    with pytest.raises(ModelTooLargeError, match=message):
        read_onnx(path, limits)


def test_the_advice_on_open_sizes_works(tmp_path: Path) -> None:
    path = saved(network(node("Relu", "x"), x=("n", 3, "?", "?")), tmp_path)
    with pytest.raises(ModelRejectedError) as caught:
        read_onnx(path)
    code = caught.value.hint.split('"')[1].replace("SIZE, SIZE", "4, 9")
    with contextlib.chdir(tmp_path):
        exec(code)  # noqa: S102  # the advice
    assert read_onnx(tmp_path / "fixed.onnx").inputs[0].shape == (None, 3, 4, 9)


def test_a_fixed_batch_counts_towards_the_limits(tmp_path: Path) -> None:
    limits = ModelLimits(activation_bytes=20_000)
    assert read_onnx(saved(batch_of(2), tmp_path), limits)
    with pytest.raises(ModelTooLargeError, match="bytes for its values"):
        read_onnx(saved(batch_of(1000), tmp_path), limits)


@pytest.mark.parametrize("data", [b"", b"\x08\x08", b"\xff" * 100, b"PK\x03\x04" + bytes(50)])
def test_bytes_that_are_no_network_are_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelRejectedError, match="the ONNX file"):
        read_onnx(path)

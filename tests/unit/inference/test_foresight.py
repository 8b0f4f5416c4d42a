"""Which networks take sizes from what a client sends."""

from collections.abc import Sequence

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, defs, helper, numpy_helper

from app.serving.foresight import _SIZES, is_foreseen

node = helper.make_node
INTS = [node("Cast", ["x"], ["n"], to=TensorProto.INT64)]


def foreseen(
    nodes: Sequence[NodeProto],
    shape: Sequence[int | str] = ("batch", 4),
    output: Sequence[int | str] | None = None,
) -> bool:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape if output is None else output)
    stored = [numpy_helper.from_array(np.array([1, 2]), "k")]
    return is_foreseen(helper.make_graph(nodes, "g", [x], [y], stored))


SIZED = {
    "shape of a constant": node("ConstantOfShape", ["n"], ["y"]),
    "expand": node("Expand", ["x", "n"], ["y"]),
    "tile": node("Tile", ["x", "n"], ["y"]),
    "scales": node("Resize", ["x", "", "x"], ["y"]),
    "sizes": node("Resize", ["x", "", "", "n"], ["y"]),
    "range": node("Range", ["k", "n", "k"], ["y"]),
    "pad": node("Pad", ["x", "n"], ["y"]),
    "reshape": node("Reshape", ["x", "n"], ["y"]),
    "not zero": node("NonZero", ["x"], ["y"]),
    "slice": node("Slice", ["x", "k", "n"], ["y"]),
}


@pytest.mark.parametrize("kind", SIZED)
def test_a_size_made_of_values_is_not_foreseen_however_many_steps_lie_between(kind: str) -> None:
    last = SIZED[kind]
    assert not foreseen([*INTS, last])
    steps = [node("Add", ["n", "k"], ["m"]), node("Max", ["k", "m"], ["z"])]
    far = NodeProto()
    far.CopyFrom(last)
    far.input[:] = ["z" if name == "n" else name for name in last.input]
    assert not foreseen([*INTS, *steps, far])


FORESEEN = {
    "plain": [node("Relu", ["x"], ["y"])],
    "from the file": [node("Tile", ["x", "k"], ["y"])],
    "from a shape": [node("Shape", ["x"], ["s"]), node("Expand", ["k", "s"], ["y"])],
    "from the shape of a value": [
        *INTS,
        node("Shape", ["n"], ["s"]),
        node("ConstantOfShape", ["s"], ["y"]),
    ],
    "values as places": [*INTS, node("Gather", ["k", "n"], ["y"])],
    "not zero in the file": [node("NonZero", ["k"], ["y"])],
}


@pytest.mark.parametrize("kind", FORESEEN)
def test_sizes_made_of_shapes_and_of_what_the_file_holds_are_foreseen(kind: str) -> None:
    assert foreseen(FORESEEN[kind])


def test_dimensions_that_clients_choose_are_not_foreseen_except_the_number_of_items() -> None:
    nodes = [node("Relu", ["x"], ["y"])]
    assert foreseen(nodes, ["batch", 3, 8, 8])
    assert not foreseen(nodes, ["batch", 3, "height", 8])
    assert not foreseen(nodes, ["", 4])
    assert not foreseen(nodes, ["batch"], ["others"])
    assert not foreseen(nodes, ["batch"], [])
    assert foreseen(nodes, [2, 3], [])


UNJUDGED = {
    "random": [node("RandomUniform", [], ["r"], shape=[1]), node("Tile", ["k", "r"], ["y"])],
    "no operator of ONNX any more": [node("DynamicSlice", ["x", "k", "k"], ["y"])],
    "no order": [
        node("ConstantOfShape", ["later"], ["y"]),
        node("Cast", ["x"], ["later"], to=TensorProto.INT64),
    ],
}


@pytest.mark.parametrize("kind", UNJUDGED)
def test_what_cannot_be_judged_counts_as_unforeseen(kind: str) -> None:
    assert not foreseen(UNJUDGED[kind])


def test_the_list_covers_the_operators_of_the_installed_version() -> None:
    assert defs.onnx_opset_version() <= 28, "compare the list with the new operators' shapes"
    known = {schema.name: schema for schema in defs.get_all_schemas() if not schema.domain}
    removed = {"Upsample"}
    assert _SIZES.keys() - removed <= known.keys()
    for name, places in _SIZES.items():
        if name not in removed and isinstance(places, tuple) and name != "Tile":
            assert max(places) < known[name].max_input, name

"""Hostile ``.onnx`` files: nothing else is opened, and sizes are checked before memory is taken."""

from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper

from tests.attacks.files.payloads import pickle
from tests.attacks.files.reading import Case, Cases, ReadingChild, check
from tests.fixtures.onnx_graphs import drawn, network, node

FORMAT = "onnx"
CASES = Cases(FORMAT)
refused = CASES.refused
WEIGHTS = {"w": drawn(4, 3, 3, 3)}


def doubled(operator: str, times: int, **attributes: object) -> list[NodeProto]:
    """Return a chain in which each node reads the one before it twice."""
    return [node(operator, f"d{i} d{i}", f"d{i + 1}", **attributes) for i in range(times)]


def written(model: ModelProto) -> bytes:
    return bytes(model.SerializeToString())


@refused("model_rejected", "not a protobuf")
def a_pickle(marker: Path) -> bytes:
    return b"\x08\x08" + pickle(marker)


@refused("model_rejected", "in another file")
def weights_in_a_file_of_the_machine(_marker: Path) -> bytes:
    model = network(node("Conv", "x w", "y"), weights=WEIGHTS)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/proc/self/environ")
    return written(model)


@refused("model_rejected", "of shape")
def a_weight_larger_than_its_data(_marker: Path) -> bytes:
    model = network(node("Conv", "x w", "y"), weights=WEIGHTS)
    model.graph.initializer[0].dims[0] = 2**40
    return written(model)


@refused("unsupported_op", "")
def sizes_that_double_with_every_node(_marker: Path) -> bytes:
    nodes = [*doubled("Concat", 60, axis=0), node("Reshape", "x d60")]
    return written(network(*nodes, weights={"d0": np.array([1])}))


@refused("unsupported_op", "")
def constants_that_double_with_every_node(_marker: Path) -> bytes:
    nodes = [
        node("Expand", "one s", "d0"), *doubled("Concat", 60, axis=0),
        node("ReduceSum", "d60", "z"), node("Add", "x z"),
    ]  # fmt: skip
    return written(network(*nodes, weights={"one": np.float32(1), "s": np.array([2])}))


@refused("too_large", "bytes for its values")
def samples_that_double_with_every_node(_marker: Path) -> bytes:
    nodes = [node("Relu", "x", "d0"), *doubled("Concat", 40, axis=1), node("ReduceMax", "d40")]
    return written(network(*nodes))


@refused("unsupported_op", "")
def a_constant_of_any_size(_marker: Path) -> bytes:
    nodes = [node("ConstantOfShape", "s", "z"), node("Add", "x z")]
    return written(network(*nodes, weights={"s": np.array([2**20, 2**20, 2**20])}))


@refused("too_large", "")
def an_image_resized_to_any_size(_marker: Path) -> bytes:
    sizes = {"s": np.array([2, 3, 2**20, 2**20])}
    return written(network(node("Resize", "x _ _ s", mode="nearest"), weights=sizes))


@refused("unsupported_op", "numbers, at most")
def a_shape_of_a_million_sizes(_marker: Path) -> bytes:
    return written(network(node("Reshape", "x s"), weights={"s": np.ones(10**6, np.int64)}))


@refused("unsupported_op", "")
def a_split_into_a_million_parts(_marker: Path) -> bytes:
    nodes = [node("Split", "x s", "y z", axis=1)]
    return written(network(*nodes, weights={"s": np.zeros(10**4, np.int64)}))


@refused("unsupported_op", "steps, at most")
def a_sequence_of_a_million_steps(_marker: Path) -> bytes:
    nodes = [node("Transpose", "x", "t", perm=[1, 0, 2]), node("LSTM", "t w r", "y", hidden_size=1)]
    weights = {"w": drawn(1, 4, 1), "r": drawn(1, 4, 1)}
    return written(network(*nodes, x=("n", 10**6, 1), weights=weights))


@refused("too_large", "nodes, at most", graph_nodes=100)
def more_nodes_than_allowed(_marker: Path) -> bytes:
    nodes = [node("Relu", "x", "d0"), *(node("Relu", f"d{i}", f"d{i + 1}") for i in range(101))]
    return written(network(*nodes, outputs="d101"))


@refused("model_rejected", "a branch or a loop: 'Loop'")
def a_loop_without_end(_marker: Path) -> bytes:
    model = network(node("Relu", "x", "y"))
    body = type(model.graph)()
    body.CopyFrom(model.graph)
    model.graph.node.append(helper.make_node("Loop", [], ["z"], body=body))
    return written(model)


@refused("model_rejected", "only ONNX's own")
def an_operator_of_another_library(_marker: Path) -> bytes:
    return written(network(node("Relu", "x", domain="ai.onnx.contrib")))


@refused("model_rejected", "NaN or infinite")
def weights_that_are_not_finite(_marker: Path) -> bytes:
    return written(network(node("Conv", "x w"), weights={"w": WEIGHTS["w"] * np.nan}))


@CASES.harmless
def a_node_that_nobody_needs(_marker: Path) -> bytes:
    nodes = [node("ConstantOfShape", "s", "z"), node("Relu", "x")]
    return written(network(*nodes, weights={"s": np.array([2**20, 2**20, 2**20])}))


@CASES.harmless
def names_of_paths_and_code(_marker: Path) -> bytes:
    name = '../../etc/passwd");import os;os.system("'
    model = network(node("Conv", "x w", "y"), weights=WEIGHTS)
    model.graph.node[0].input[1] = name
    model.graph.initializer[0].name = name
    model.graph.node[0].name = 'File "/etc/passwd", line 1, in x\n'
    return written(model)


@pytest.mark.parametrize("case", CASES.found, ids=lambda case: case.sentence)
def test_hostile_file(case: Case, child: ReadingChild, tmp_path: Path) -> None:
    check(case, FORMAT, child, tmp_path)

"""Rows and matrices of every kind of reader multiply to what the layer computes."""

import pytest
import torch

from secateur.engine import from_module
from secateur.engine.program.shapes import propagate
from secateur.engine.program.walk import Walk
from secateur.engine.repair.readers import find_readers
from tests.unit.engine.repair.readers import READERS


@pytest.mark.parametrize("kind", READERS)
def test_rows_times_the_matrix_are_the_outputs(kind: str) -> None:
    torch.manual_seed(0)
    network = READERS[kind]()
    rank = network.first.weight.dim() - 2
    x = torch.randn(2, 2, *[5, 6, 4][:rank])
    program = from_module(network.eval(), (x,))
    readers = find_readers(program, propagate(program), set(program.graph.nodes))
    node, reader = list(readers.items())[-1]
    walk = Walk(program, [(x,)])
    for each in program.graph.nodes:
        walk.run(each)
    (inputs,), (outputs,) = walk.of(reader.x), walk.of(node)
    weight = program.tensors[reader.weight]
    matrix = reader.form.matrix(weight)
    assert torch.equal(reader.form.weight(matrix, weight.shape), weight)
    positions = torch.arange(reader.form.num_positions(outputs))
    rows = reader.form.inputs(inputs, positions) @ matrix.transpose(1, 2)
    if reader.bias is not None:
        rows += program.tensors[reader.bias].view(len(matrix), 1, -1)
    torch.testing.assert_close(rows, reader.form.outputs(outputs, positions))


def test_a_choice_of_positions_is_a_choice_of_rows() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 2, 5, 6)
    program = from_module(READERS["transposed, grouped"]().eval(), (x,))
    node, reader = list(
        find_readers(program, propagate(program), set(program.graph.nodes)).items()
    )[-1]
    walk = Walk(program, [(x,)])
    for each in program.graph.nodes:
        walk.run(each)
    (inputs,), (outputs,) = walk.of(reader.x), walk.of(node)
    every = torch.arange(reader.form.num_positions(outputs))
    some = every[::7]
    for found, value in ((reader.form.inputs, inputs), (reader.form.outputs, outputs)):
        assert torch.equal(found(value, some), found(value, every)[:, ::7])

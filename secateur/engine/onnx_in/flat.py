"""Values of all samples that are read by their numbers in memory, as ``as_strided`` reads them.

PyTorch's exporter writes ``as_strided`` (after average pooling, for example) as a Gather from the
flattened value, with positions computed from the batch size. While the network is exported, the
positions are a tensor like any other. Here they are computed for two batch sizes. If each sample
reads the same positions of its own values, the Gather becomes one within each sample.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.errors import UnsupportedOpError
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program, Role
from secateur.engine.program.shapes import propagate, where
from secateur.engine.program.vocabulary import op_name

_aten = torch.ops.aten
_BATCHES = (2, 3)
_VIEWS = frozenset({"view", "reshape", "flatten"})


def read_within_samples(program: Program) -> Program:
    """Return a program whose reads of flattened batches stay within each sample.

    Raises:
        UnsupportedOpError: A value of one sample is read for another.
    """
    reads = [node for node in program.graph.nodes if node.target is _aten.index_select.default]
    if not reads:
        return program
    small, large = (propagate(program, size) for size in _BATCHES)
    tensors, graph = dict(program.tensors), program.graph
    for node in reads:
        flat: Any = node.args[0]
        sizes = [shapes[flat].shape for shapes in (small, large)]
        if len(sizes[0]) > 1 or sizes[0] == sizes[1]:
            continue
        num_values = sizes[0][0] // _BATCHES[0]
        own = _own_positions(program, node, num_values)
        # The value before it was flattened keeps its channels.
        source = flat.args[0] if op_name(flat.target) in _VIEWS else flat
        if not torch.equal(own, torch.arange(num_values)):
            name = f"positions_{len(tensors)}"
            tensors[name] = own
            with graph.inserting_before(node):
                rows = graph.call_function(_aten.view.default, (source, [-1, num_values]))
                chosen = (rows, 1, graph.get_attr(name))
                source = graph.call_function(_aten.index_select.default, chosen)
        node.replace_all_uses_with(source)
    graph.eliminate_dead_code()
    return replace(
        program,
        tensors=tensors,
        roles={name: program.roles.get(name, Role.CONSTANT) for name in tensors},
    )


def _own_positions(program: Program, node: fx.Node, num_values: int) -> Tensor:
    """Return the positions that each sample reads among its own values."""
    small, large = (_positions(program, node, size) for size in _BATCHES)
    own = small[: len(small) // _BATCHES[0]]
    for size, found in zip(_BATCHES, (small, large), strict=True):
        wanted = torch.cat([own + sample * num_values for sample in range(size)])
        if not torch.equal(found, wanted):
            raise UnsupportedOpError(f"{where(node)} takes some of the samples")
    if not bool(((own >= 0) & (own < num_values)).all()):
        raise UnsupportedOpError(f"{where(node)} reads outside of its samples")
    return own


def _positions(program: Program, node: fx.Node, batch_size: int) -> Tensor:
    """Return the positions that a call reads, for a batch size."""
    graph, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    graph.graph_copy(program.graph, copies)
    index: Any = node.args[2]
    graph.output((copies[index],))
    graph.eliminate_dead_code()
    inputs = [each for each in graph.nodes if each.op == "placeholder"]
    if any(op_name(user.target) != "sym_size" for each in inputs for user in each.users):
        raise UnsupportedOpError(f"{where(node)} reads at positions that the samples decide")
    module = ProgramModule(replace(program, graph=graph), copy=False).eval()
    found: Tensor = module.run(program.example_inputs(batch_size))[0]
    return found

"""Run a program call by call over all batches at once."""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.program.chunks import whole_chunks
from secateur.engine.program.module import resolve
from secateur.engine.program.placing import placed
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import num_analysed, propagate


class Walk:
    """Values of one program for every batch; a value lives until its last reader has run.

    If the program's batch stays fixed, the samples are in batches of its size.

    Values that depend on no input, such as a transposed weight, are computed whenever they are
    read, from the tensors as they are then.

    Attributes:
        tensors: Tensors of the program, which may be replaced between calls.
    """

    def __init__(self, program: Program, batches: Sequence[tuple[Tensor, ...]]) -> None:
        batches = whole_chunks(batches, program.batch_size)
        self.tensors = dict(program.tensors)
        self._device = program.device
        self._num_batches = len(batches)
        self._dead = last_reads(program)
        self._values: dict[fx.Node, list[Any]] = {}
        inputs = [node for node in program.graph.nodes if node.op == "placeholder"]
        for index, node in enumerate(inputs):
            self._values[node] = [batch[index] for batch in batches]

    def of(self, node: fx.Node) -> list[Any]:
        """Return a node's value for every batch."""
        return self._values[node]

    def run(self, node: fx.Node) -> None:
        """Run a call on every batch, unless it depends on no input."""
        if node.op != "call_function" or self._values.keys().isdisjoint(node.all_input_nodes):
            return
        fixed = {each: self._fixed(each) for each in self._fixed_inputs(node)}
        moving = [each for each in node.all_input_nodes if each not in fixed]
        self._values[node] = [
            self._call(node, fixed | {each: self._values[each][number] for each in moving})
            for number in range(self._num_batches)
        ]

    def forget(self, node: fx.Node) -> None:
        """Delete the values that no call after ``node`` reads."""
        for used in self._dead.get(node, ()):
            self._values.pop(used, None)

    def _fixed_inputs(self, node: fx.Node) -> list[fx.Node]:
        return [each for each in node.all_input_nodes if each not in self._values]

    def _fixed(self, node: fx.Node) -> Any:  # noqa: ANN401  # any value
        if node.op == "get_attr":
            return self.tensors[str(node.target)]
        return self._call(node, {each: self._fixed(each) for each in node.all_input_nodes})

    def _call(self, node: fx.Node, values: dict[fx.Node, Any]) -> Any:  # noqa: ANN401  # any value
        args, kwargs = placed(node, self._device)
        names = {name: resolve(argument, values) for name, argument in kwargs.items()}
        with torch.no_grad():
            return node.target(*(resolve(each, values) for each in args), **names)  # type: ignore[operator]


def last_reads(program: Program) -> dict[fx.Node, list[fx.Node]]:
    """Return, for each call, the values that no later call reads, including its own."""
    last: dict[fx.Node, fx.Node] = {}
    for node in program.graph.nodes:
        last |= dict.fromkeys((node, *node.all_input_nodes), node)
    dead: dict[fx.Node, list[fx.Node]] = {}
    for value, node in last.items():
        dead.setdefault(node, []).append(value)
    return dead


def bytes_per_sample(*programs: Program) -> int:
    """Return the bytes of the values that live at the same time, for one sample of each program."""
    return sum(_most_bytes(program) for program in programs)


def _most_bytes(program: Program) -> int:
    shapes, dead = propagate(program), last_reads(program)
    num_samples = num_analysed(program)
    held: dict[fx.Node, int] = {}
    most = now = 0
    for node in program.graph.nodes:
        if node.op not in {"placeholder", "call_function"}:
            continue
        held[node] = _num_bytes(shapes[node]) // num_samples
        now += held[node]
        most = max(most, now)
        now -= sum(held.pop(value, 0) for value in dead.get(node, ()))
    return max(1, most)


def _num_bytes(value: Any) -> int:  # noqa: ANN401  # a tensor, several, or a number
    if isinstance(value, (list, tuple)):
        return sum(_num_bytes(each) for each in value)
    return prod(value.shape) * value.dtype.itemsize if isinstance(value, Tensor) else 0

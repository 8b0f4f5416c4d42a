"""Make a fixed batch dynamic: files exported with a batch of one, as demos and ONNX tools do.

The exporter writes a fixed batch into the sizes of ``view``, ``expand`` and others. `free_batch`
follows the batch through the graph, on meta tensors for one batch and for two, and writes its size
back where a literal holds it. That is a guess where the batch is 1, so `check_free_batch` compares
both programs: for two and for three samples, the new one must return what the file's own returns
for each sample. Where that fails, the batch stays fixed: `settle_batch`. Called by `reader`.
"""

import operator
from collections.abc import Callable
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.errors import EngineError, ModelRejectedError
from secateur.engine.program.archive import EXPORT_HINT
from secateur.engine.program.footprint import check_cost
from secateur.engine.program.limits import ModelLimits
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import InputSpec, Program
from secateur.engine.program.shapes import Shapes, call_on_meta, propagate, values_on_meta, where
from secateur.engine.program.vocabulary import op_name

_aten = torch.ops.aten
_TOLERANCE = 1e-4  # relative; kernels sum in another order for another batch
_NUM_BATCHES = (2, 3)
# The exporter writes plain numbers where a file may hold computed ones.
_FAULTS = (EngineError, AttributeError, LookupError, TypeError, ValueError)
_VIEWS = frozenset("view reshape _unsafe_view".split())
_LISTS = frozenset("cat concat stack".split())
_RECURRENT = frozenset("lstm gru rnn_tanh rnn_relu".split())


class FixedBatchError(ModelRejectedError):
    """A fixed batch cannot be made dynamic."""


def settle_batch(program: Program, limits: ModelLimits | None = None) -> Program:
    """Return a program of a fixed batch with a dynamic one, or with a note why it stays fixed.

    Raises:
        ModelRejectedError: It stays fixed, and the outputs have no values for each sample; or the
            network cannot be computed.
        ModelTooLargeError: The network is too large to be compared or computed.
    """
    graph = fx.Graph()
    graph.output(graph.graph_copy(program.graph, {}))
    try:
        free = replace(program, graph=graph, inputs=free_batch(graph, program))
        check_free_batch(program, free, limits or ModelLimits())
    except FixedBatchError as error:
        return with_its_batch(program, error)
    return free


def with_its_batch(program: Program, reason: ModelRejectedError) -> Program:
    """Return a program whose batch stays fixed, with a note why.

    Raises:
        ModelRejectedError: Its samples cannot be run in batches of its size: the ``reason``.
    """
    sizes, size = {spec.shape[0] for spec in program.inputs}, program.batch_size
    outputs = propagate(program)[program.graph.output_node()]
    shapes = [output.shape for output in outputs if isinstance(output, Tensor)]
    if len(sizes) > 1 or size is None:
        raise reason
    if size > 1 and any(shape[:1] != (size,) for shape in shapes):
        raise reason
    if size == 1:
        how = "Every run takes one sample"
    else:
        how = f"Every run takes {size} samples; the last run of a data set is filled with others"
    return replace(program, batch_note=f"{reason}. {how}")


def free_batch(graph: fx.Graph, program: Program) -> tuple[InputSpec, ...]:
    """Rewrite a graph of a fixed batch in place, and return inputs with a dynamic batch.

    Args:
        graph: Copy of the program's graph.
        program: A program with at least one input of a fixed batch.

    Raises:
        FixedBatchError: The batch cannot be followed to every output; the message names the line
            that loses it.
    """
    tensors, inputs = program.tensors, program.inputs
    sizes = {spec.shape[0] for spec in inputs}
    batch = sizes.pop()
    if sizes or batch is None:
        raise _refusal("the inputs have different batches")
    one = values_on_meta(graph, tensors, inputs)
    two: Shapes = {node: one[node] for node in graph.nodes if node.op == "get_attr"}
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    for node in placeholders:
        two[node] = one[node].new_empty((2 * batch, *one[node].shape[1:]))
    _Walk(graph, one, two, batch).run()
    return tuple(replace(spec, shape=(None, *spec.shape[1:])) for spec in inputs)


def check_free_batch(fixed: Program, free: Program, limits: ModelLimits) -> None:
    """Compare a program of a fixed batch with its form of a dynamic batch.

    Raises:
        FixedBatchError: They differ, so samples of one batch are not independent.
        ModelRejectedError: The network cannot be computed.
        ModelTooLargeError: The networks take too much memory or work to be compared.
    """
    batch: int = fixed.inputs[0].shape[0]  # type: ignore[assignment]
    num_samples = batch * max(_NUM_BATCHES)
    check_cost(free, propagate(free, num_samples), limits)
    try:
        _compare(fixed, free, batch)
    except (RuntimeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        if "memory" in str(error):  # of this machine, not a fault of the file
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise ModelRejectedError(f"the network cannot be computed: {reason}") from error


@torch.no_grad()
def _compare(fixed: Program, free: Program, batch: int) -> None:
    own, other = (ProgramModule(program, copy=False).eval() for program in (fixed, free))
    given = free.example_inputs(batch * max(_NUM_BATCHES), seed=1)
    parts = zip(*(x.split(batch) for x in given), strict=True)
    expected = [own.run_once(part) for part in parts]
    for number in _NUM_BATCHES:
        try:
            outputs = other.run(tuple(x[: number * batch] for x in given))
        except (RuntimeError, LookupError, TypeError, ValueError) as error:
            if "memory" in str(error):
                raise
            raise _refusal(f"it computes only {batch} samples") from error
        for place, output in enumerate(outputs):
            if not isinstance(output, Tensor):
                continue
            wanted = torch.cat([found[place] for found in expected[:number]])
            if not _are_close(output, wanted):
                raise _refusal(f"output {place} of a sample depends on the others of its batch")


def _are_close(a: Tensor, b: Tensor) -> bool:
    if a.shape != b.shape:
        return False
    if not a.is_floating_point():
        return bool((a == b).all())
    return bool((a - b).abs().max() <= _TOLERANCE * b.abs().max())


class _Walk:
    """Walk over a graph that keeps the values of one batch and of two.

    Args:
        graph: Graph to rewrite in place.
        one: Meta tensors of all values, for one batch.
        two: Meta tensors of inputs and stored tensors, for two batches.
        batch: Size of one batch.
    """

    def __init__(self, graph: fx.Graph, one: Shapes, two: Shapes, batch: int) -> None:
        self._graph, self._one, self._two, self._batch = graph, one, two, batch

    def run(self) -> None:
        """Rewrite every call, and check that the outputs have the batch."""
        calls = [node for node in self._graph.nodes if node.op == "call_function"]
        first = next(node for node in self._graph.nodes if node.op == "placeholder")
        with self._graph.inserting_before(calls[0] if calls else None):
            self._size = self._insert(_aten.sym_size.int, (first, 0))
        for node in calls:
            try:
                with self._graph.inserting_before(node):
                    self._rewrite(node)
                self._two[node] = call_on_meta(node, self._two)
            except _FAULTS as error:
                raise _refusal(f"{where(node)} is made for a batch of {self._batch}") from error
        for place, output in enumerate(self._graph.output_node().args[0]):  # type: ignore[arg-type]
            if isinstance(output, fx.Node) and self._grown(output) != 0:
                raise _refusal(f"output {place} does not have the batch as its first dimension")

    def _rewrite(self, node: fx.Node) -> None:
        name = op_name(node.target)
        first, *rest = node.args
        if name in _VIEWS:
            self._resize_view(node)
        elif name == "expand":
            shift = len(node.args[1]) - self._one[first].dim()  # type: ignore[arg-type,index]
            self._resize(node, shift)
        elif name == "affine_grid_generator":
            self._resize(node, 0)
        elif name in _LISTS:
            dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
            parts = self._alike(list(first), but=dim if name != "stack" else None)  # type: ignore[arg-type]
            node.args = (parts, *rest)
        elif name in {"bmm", "baddbmm"}:
            parts = self._alike(list(node.args), dims=[0])
            node.args = tuple(parts)
        elif name == "copy" and self._one[first].dim() == self._one[rest[0]].dim():  # type: ignore[index]
            whole, part = self._alike([first, rest[0]])
            node.args = (whole, part, *rest[1:])
        elif name == "slice_scatter":
            dim = node.args[2] if len(node.args) > 2 else 0  # noqa: PLR2004  # aten's position
            whole, part = self._alike([first, rest[0]], but=dim)
            node.args = (whole, part, *rest[1:])
        elif name in _RECURRENT:
            self._expand_states(node, 0 if node.args[8] else 1)

    def _resize_view(self, node: fx.Node) -> None:
        """Write the size of the batch into a view, at the dimension that holds it."""
        source = node.args[0]
        dim = self._grown(source)
        if dim is None:
            return
        before, shape = self._one[source].shape, self._one[node].shape  # type: ignore[index]
        places = [i for i in range(len(shape)) if prod(shape[:i]) == prod(before[:dim])]
        # The batch comes first in a dimension that it shares with others, such as windows.
        exact = [i for i in places if shape[i] == before[dim] == self._batch]
        for place in (exact or places)[:1]:
            self._write_size(node, place, shape[place])

    def _resize(self, node: fx.Node, shift: int) -> None:
        """Write the size of the batch into a list of the result's sizes."""
        dim = self._grown(node.args[0])
        if dim is not None:
            self._write_size(node, dim + shift, self._one[node.args[0]].shape[dim])  # type: ignore[index]

    def _write_size(self, node: fx.Node, place: int, size: int) -> None:
        sizes = list(node.args[1])  # type: ignore[arg-type]
        if not isinstance(sizes[place], int) or sizes[place] < 0 or size % self._batch:
            return  # -1, or computed already
        factor = size // self._batch
        sizes[place] = (
            self._size if factor == 1 else self._insert(operator.mul, (self._size, factor))
        )
        node.args = (node.args[0], sizes, *node.args[2:])

    def _expand_states(self, node: fx.Node, batch_dim: int) -> None:
        """Expand the initial states of a recurrent layer, such as zeros."""
        if self._grown(node.args[0]) != batch_dim:
            return
        states = node.args[1]
        if isinstance(states, (list, tuple)):
            grown: Any = [self._expanded(state, 1) for state in states]
        else:
            grown = self._expanded(states, 1)
        node.args = (node.args[0], grown, *node.args[2:])

    def _alike(
        self,
        parts: list[Any],
        *,
        but: Any = None,  # noqa: ANN401  # a dimension
        dims: list[int] | None = None,
    ) -> list[Any]:
        """Expand values without the batch, such as class tokens, where another has it.

        Args:
            parts: Values that must have equal sizes.
            but: Dimension along which their sizes may differ.
            dims: Dimensions to look at; all by default.
        """
        grown = {self._grown(part) for part in parts} - {None}
        rank = max((self._one[part].dim() for part in parts), default=0)
        for dim in grown:
            if (but is not None and dim == but % rank) or (dims is not None and dim not in dims):
                continue
            parts = [self._expanded(part, dim) for part in parts]
        return parts

    def _expanded(self, value: Any, dim: Any) -> Any:  # noqa: ANN401  # a node
        """Return a value repeated for each sample, if its dimension is that of one sample."""
        if self._grown(value) is not None or self._one[value].shape[dim] != 1 or self._batch != 1:
            return value
        sizes: list[Any] = [-1] * self._one[value].dim()
        sizes[dim] = self._size
        return self._insert(_aten.expand.default, (value, sizes))

    def _grown(self, value: object) -> int | None:
        """Return the dimension of a value that grows with the batch, or None."""
        one, two = self._one.get(value), self._two.get(value)  # type: ignore[call-overload]
        if not isinstance(one, Tensor) or not isinstance(two, Tensor) or one.dim() != two.dim():
            return None
        grown = [dim for dim in range(one.dim()) if one.shape[dim] != two.shape[dim]]
        return grown[0] if len(grown) == 1 else None

    def _insert(self, target: Callable[..., Any], args: tuple[Any, ...]) -> fx.Node:
        node = self._graph.call_function(target, args)
        for values in (self._one, self._two):
            values[node] = call_on_meta(node, values)
        return node


def _refusal(reason: str) -> FixedBatchError:
    return FixedBatchError(
        f"the batch is fixed by the export and cannot be made dynamic: {reason}", hint=EXPORT_HINT
    )

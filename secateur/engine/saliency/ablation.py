"""Repeated runs of a program with some tensors replaced, recomputing only affected nodes.

Used by the `loss` criterion. Values that do not depend on a family's tensors are computed once.
Only the nodes downstream of those tensors run for every ablation. The results equal full forward
passes, bit for bit, because the same kernels run on the same operands.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from secateur.engine.program.chunks import joined
from secateur.engine.program.module import resolve
from secateur.engine.program.placing import placed
from secateur.engine.program.program import Program

Values = dict[fx.Node, Any]
Step = tuple[fx.Node, tuple[fx.Node, ...]]  # a node, and the values that are dead after it


@dataclass(frozen=True)
class Ablation:
    """The nodes to run when certain tensors change.

    Attributes:
        tensors: Names of the tensors that change.
        sources: Nodes of those tensors.
        start: Position of the first node whose value changes.
        clean: Nodes after ``start`` whose values do not change but are read by changed nodes.
        needed: Unchanged values that the changed nodes read.
        changed: Nodes whose values change, in order.
    """

    tensors: tuple[str, ...]
    sources: tuple[fx.Node, ...]
    start: int
    clean: tuple[Step, ...]
    needed: tuple[fx.Node, ...]
    changed: tuple[Step, ...]


class PartialRunner:
    """Executor of parts of one program's graph, using the program's own tensors."""

    def __init__(self, program: Program) -> None:
        nodes, self._size = program.graph.nodes, program.batch_size
        self._calls = [node for node in nodes if node.op == "call_function"]
        self._given = {node: placed(node, program.device) for node in self._calls}
        self._placeholders = [node for node in nodes if node.op == "placeholder"]
        self._tensors = {n: program.tensors[str(n.target)] for n in nodes if n.op == "get_attr"}
        self._outputs: tuple[Any, ...] = tuple(program.graph.output_node().args[0])  # type: ignore[arg-type]
        self._position = {node: index for index, node in enumerate(self._calls)}

    def ablation(self, tensors: Iterable[str]) -> Ablation:
        """Return the nodes to run when ``tensors`` change."""
        names = tuple(dict.fromkeys(tensors))
        sources = tuple(node for node in self._tensors if node.target in names)
        reached: set[fx.Node] = set(sources)
        changed: list[fx.Node] = []
        for node in self._calls:
            if not reached.isdisjoint(node.all_input_nodes):
                reached.add(node)
                changed.append(node)
        start = self._position[changed[0]] if changed else len(self._calls)
        wanted = {n for n in self._outputs if isinstance(n, fx.Node)}
        wanted.update(used for node in changed for used in node.all_input_nodes)
        clean: list[fx.Node] = []
        inner: set[fx.Node] = set()
        for node in reversed(self._calls[start:]):
            if node not in reached and (node in wanted or not inner.isdisjoint(node.users)):
                clean.append(node)
                inner.add(node)
        clean.reverse()
        keep = wanted - reached
        return Ablation(
            names,
            sources,
            start,
            _with_last_uses(clean, wanted),
            tuple(node for node in keep if node.op != "get_attr"),
            _with_last_uses(changed, {n for n in self._outputs if isinstance(n, fx.Node)} | keep),
        )

    def begin(self, inputs: tuple[Tensor, ...]) -> Values:
        """Return the values of the inputs: the frontier before the first node."""
        return dict(zip(self._placeholders, inputs, strict=True))

    def advance(self, frontier: Values, start: int, stop: int) -> Values:
        """Run the nodes from ``start`` to ``stop`` and return the values needed from there on."""
        values = frontier | self._tensors
        for node in self._calls[start:stop]:
            values[node] = self._call(node, values)
            for used in node.all_input_nodes:
                if used.op != "get_attr" and self._last_use(used) <= self._position[node]:
                    values.pop(used, None)
        return {node: value for node, value in values.items() if node.op != "get_attr"}

    def unchanged(self, ablation: Ablation, frontier: Values) -> Values:
        """Return the values that every run of ``ablation`` shares, tensors included."""
        values = self._run(ablation.clean, frontier | self._tensors)
        return {node: values[node] for node in ablation.needed} | self._tensors

    def outputs(
        self, ablation: Ablation, shared: Values, tensors: Mapping[str, Tensor]
    ) -> list[Any]:
        """Return the program's flat outputs with ``tensors`` in place of its own."""
        own = {node: tensors[str(node.target)] for node in ablation.sources}
        values = self._run(ablation.changed, shared | own)
        found = [resolve(item, values) for item in self._outputs]
        return found if self._size is None else joined([found], self._size, self._size)

    def _run(self, steps: tuple[Step, ...], values: Values) -> Values:
        for node, dead in steps:
            values[node] = self._call(node, values)
            for gone in dead:
                del values[gone]
        return values

    def _call(self, node: fx.Node, values: Values) -> Any:  # noqa: ANN401  # any result
        args, kwargs = self._given[node]
        options = {name: resolve(item, values) for name, item in kwargs.items()}
        return node.target(*(resolve(item, values) for item in args), **options)  # type: ignore[operator]

    def _last_use(self, node: fx.Node) -> int:
        # An output is used after the last call.
        return max(self._position.get(user, len(self._calls)) for user in node.users)


def _with_last_uses(nodes: list[fx.Node], keep: set[fx.Node]) -> tuple[Step, ...]:
    """Pair every node with the values of ``nodes`` that are dead after it."""
    last: dict[fx.Node, fx.Node] = {}
    members = set(nodes)
    for node in nodes:
        last.update({used: node for used in node.all_input_nodes if used in members - keep})
    dead: dict[fx.Node, list[fx.Node]] = {}
    for used, node in last.items():
        dead.setdefault(node, []).append(used)
    return tuple((node, tuple(dead.get(node, ()))) for node in nodes)

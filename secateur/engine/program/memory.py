"""Rewrite writes through views: ``x[:, 0] = y`` becomes a new ``x``, which later calls read.

A *view* shares the memory of another value, its base; a value that is not a view is a *root*. A
write creates new values for the written view, for its bases up to the root, and for the root, by
the scatter operator that inverts each view (`select` → `select_scatter`). Other views of that root
are recomputed before they are read next. To find the values that share memory, the graph is run in
place on meta tensors, as in the user's model. Called by `functional`.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from secateur.engine.errors import ModelRejectedError, UnsupportedOpError
from secateur.engine.program.shapes import Shapes, where
from secateur.engine.program.vocabulary import functional_form, op_name

_aten = torch.ops.aten
_ALL = 2**63 - 1
_SPLITS = frozenset("split split_with_sizes chunk unbind tensor_split unsafe_split".split())


@dataclass(frozen=True)
class _View:
    """View of another value's memory.

    Attributes:
        base: Value that the view shares memory with.
        call: Call that returns the view; None for the result of a write, which equals ``base``.
        piece: Dimension, start and end of a piece of ``base``, with end -1 for a single index
            without the dimension; None for other views.
        is_plain: Whether the view is a single tensor, taken from the call's first argument.
    """

    base: fx.Node
    call: fx.Node | None
    piece: tuple[int, int, int] | None = None
    is_plain: bool = True


class _Memory:
    """Current node of every value of a graph, while its calls are visited in order.

    Args:
        graph: Graph to rewrite in place.
        values: Meta tensors of its nodes.
    """

    def __init__(self, graph: fx.Graph, values: Shapes) -> None:
        self._graph = graph
        self._values = values
        self._views: dict[fx.Node, _View] = {}
        self._versions: dict[fx.Node, int] = {}  # number of writes to each root
        self._current: dict[fx.Node, tuple[int, fx.Node]] = {}  # version of the root, current node
        self._insert_after: fx.Node | None = None
        # Calls that split a value into pieces: the value, and its root's version at the call.
        self._splits: dict[fx.Node, tuple[fx.Node, int]] = {}
        self._inserted: list[fx.Node] = []

    def visit(self, node: fx.Node) -> None:
        """Make ``node`` read the current values of its arguments, and apply its write, if any."""
        self._at, self._insert_after = node, None
        given = node.args[0] if node.args else None
        original = (node.args, node.kwargs)
        node.args = fx.map_arg(node.args, self.current)
        node.kwargs = fx.map_arg(node.kwargs, self.current)
        if node.op != "call_function":
            return
        form = _functional_form(node)
        if form is None:
            self._record_view(node, original)
            return
        assert isinstance(given, fx.Node)  # noqa: S101  # checked by `functional`
        self._refuse_state(node, given)
        node.target = form
        if form is _aten.zeros_like.default:
            node.args, node.kwargs = node.args[:1], {}
        self._write(given, node)

    def current(self, value: fx.Node) -> fx.Node:
        """Return the node that holds the contents of ``value`` before the current call."""
        version = self._versions.get(self._root(value), 0)
        since, node = self._current.get(value, (0, value))
        if since == version:
            return node
        view = self._views[value]
        node = self._recompute(view)
        self._current[value] = (version, node)
        return node

    def finish(self) -> None:
        """Erase inserted nodes that nothing reads."""
        for node in reversed(self._inserted):
            if not node.users:
                self._graph.erase_node(node)

    def _root(self, value: fx.Node) -> fx.Node:
        while value in self._views:
            value = self._views[value].base
        return value

    def _add_view(self, node: fx.Node, view: _View) -> None:
        self._views[node] = view
        self._current[node] = (self._versions.get(self._root(node), 0), node)

    def _record_view(self, node: fx.Node, original: tuple[Any, Any]) -> None:
        value = self._values[node]
        first = value[0] if isinstance(value, (list, tuple)) and value else value
        if not isinstance(first, Tensor):
            return
        given = original[0][0] if original[0] else None
        for base in _nodes(original):
            source = self._values[base]
            if base in self._splits:
                self._record_piece(node, base, node.args[1])
                return
            if base in self._views and not isinstance(source, Tensor):  # one of several views
                self._add_view(node, _View(base, node, is_plain=False))
                return
            if not isinstance(source, Tensor) or _storage(source) != _storage(first):
                continue
            if first is not value and op_name(node.target) in _SPLITS:
                self._splits[node] = (base, self._versions.get(self._root(base), 0))
            else:
                self._add_view(node, _View(base, node, is_plain=first is value and given is base))
            return

    def _record_piece(self, node: fx.Node, cut: fx.Node, number: Any) -> None:  # noqa: ANN401  # int
        """Record the piece that ``getitem`` takes from ``split``, ``chunk`` or ``unbind``."""
        base = self._splits[cut][0]
        value, whole = self._values[node], self._values[base]
        pieces = self._values[cut]
        if whole.dim() != value.dim():  # unbind: a single index
            dim = _argument(cut, 1, "dim", 0) % whole.dim()
            piece = (dim, number, -1)
        else:
            dim = _argument(cut, 2, "dim", 0) % whole.dim()
            start = sum(each.shape[dim] for each in pieces[:number])
            piece = (dim, start, start + value.shape[dim])
        self._views[node] = _View(base, node, piece)
        self._current[node] = (self._splits[cut][1], node)  # the version that was split

    def _write(self, written: fx.Node, result: fx.Node) -> None:
        """Make ``result`` the contents of ``written``, and create new values for its bases."""
        chain = [written]
        while chain[-1] in self._views:
            chain.append(self._views[chain[-1]].base)
        before = {value: self.current(value) for value in chain}
        root = chain[-1]
        version = self._versions.get(root, 0) + 1
        self._insert_after = result
        value = self._cast_like(result, written)
        for node, base in itertools.pairwise(chain):
            self._current[node] = (version, value)
            view = self._views[node]
            if view.call is not None:
                value = self._invert(view, view.call, before[base], value)
        self._current[root] = (version, value)
        self._versions[root] = version
        if self._at is not written:
            self._views[self._at] = _View(written, None)
            self._current[self._at] = (version, self._current[written][1])

    def _cast_like(self, result: fx.Node, written: fx.Node) -> fx.Node:
        """Cast ``result`` to the type of ``written``, if the functional form promotes it."""
        args, kwargs = fx.map_arg((result.args, result.kwargs), self._values.__getitem__)
        with torch.no_grad():
            promoted = result.target(*args, **kwargs).dtype  # type: ignore[operator]
        dtype = self._values[written].dtype
        if promoted == dtype:
            return result
        return self._insert(_aten._to_copy.default, (result,), {"dtype": dtype})  # noqa: SLF001

    def _invert(self, view: _View, call: fx.Node, base: fx.Node, value: fx.Node) -> fx.Node:
        """Return ``base`` with the part that ``view`` shows replaced by ``value``.

        Raises:
            UnsupportedOpError: The view has no inverse.
        """
        if view.piece is not None:
            dim, start, end = view.piece
            if end < 0:
                return self._insert(_aten.select_scatter.default, (base, value, dim, start))
            if dim == 0:
                raise _no_inverse(call)
            return self._insert(_aten.slice_scatter.default, (base, value, dim, start, end))
        invert = _INVERSES.get(op_name(call.target)) if view.is_plain else None
        found = invert(call, base, value) if invert is not None else None
        if found is None and self._is_whole_base(call, view):
            return value
        if found is None:
            raise _no_inverse(call)
        return self._insert(*found)

    def _is_whole_base(self, call: fx.Node, view: _View) -> bool:
        """Return whether a view equals its base, such as a ``contiguous`` without effect."""
        a, b = self._values[call], self._values[view.base]
        return bool(a.shape == b.shape and a.stride() == b.stride() and a.dtype == b.dtype)

    def _recompute(self, view: _View) -> fx.Node:
        base = self.current(view.base)
        if view.call is None:
            return base
        if view.piece is not None:
            dim, start, end = view.piece
            if end < 0:
                return self._insert(_aten.select.int, (base, dim, start))
            return self._insert(_aten.slice.Tensor, (base, dim, start, end))
        if not view.is_plain:
            raise _no_inverse(view.call)
        target, args = view.call.target, (base, *view.call.args[1:])
        assert callable(target)  # noqa: S101  # the target of a call_function node
        return self._insert(target, args, dict(view.call.kwargs), view.call)

    def _insert(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None = None,
        like: fx.Node | None = None,
    ) -> fx.Node:
        graph, after = self._graph, self._insert_after
        before = graph.inserting_before(self._at)
        with before if after is None else graph.inserting_after(after):
            node = graph.call_function(target, args, kwargs or {})
        if after is not None:
            self._insert_after = node
        node.meta = dict((like or self._at).meta)
        given, named = fx.map_arg((node.args, node.kwargs), self._values.__getitem__)
        with torch.no_grad():
            self._values[node] = target(*given, **named)
        self._inserted.append(node)
        return node

    def _refuse_state(self, node: fx.Node, written: fx.Node) -> None:
        root = self._root(written)
        if root.op != "get_attr":
            return
        name = str(root.target)
        if name.endswith("num_batches_tracked"):
            raise ModelRejectedError(
                f"the model changes its state: {where(node)} counts batches in {name!r}, so it was "
                "exported in training mode",
                hint="Call model.eval() before torch.export.export, and export again.",
            )
        raise UnsupportedOpError(
            f"the model changes its state: {where(node)} writes into its tensor {name!r}. A "
            "network must return the same outputs for the same inputs",
            hint=f"Remove the line, write into a copy (self.{name}.clone()), or run it only if "
            "self.training, and export again.",
        )


def rewrite_writes(graph: fx.Graph, values: Shapes) -> None:
    """Replace every write of ``graph`` by a call that returns the new value.

    Args:
        graph: Graph to rewrite in place.
        values: Meta tensors of its nodes, computed in place: views share storage with bases.

    Raises:
        ModelRejectedError: BatchNorm counts batches, so the model was exported in training mode.
        UnsupportedOpError: The graph writes into a stored tensor, or through a view that has no
            inverse.
    """
    memory = _Memory(graph, values)
    for node in list(graph.nodes):
        memory.visit(node)
    memory.finish()


def _functional_form(node: fx.Node) -> torch._ops.OpOverload | None:
    is_overload = isinstance(node.target, torch._ops.OpOverload)  # noqa: SLF001
    if not is_overload or not node.target._schema.is_mutable:  # type: ignore[union-attr]  # noqa: SLF001
        return None
    form = functional_form(node.target)  # type: ignore[arg-type]
    if form is None:
        raise UnsupportedOpError(f"{where(node)} has no functional form")
    return form


def _no_inverse(call: fx.Node) -> UnsupportedOpError:
    return UnsupportedOpError(
        f"the model writes into a view made by {where(call)}, which has no inverse",
        hint="Write into a slice, a reshaped or a transposed view, or join the parts with "
        "torch.cat.",
    )


def _storage(tensor: Tensor) -> object:
    return tensor.untyped_storage()._cdata  # noqa: SLF001  # meta tensors have no addresses


def _nodes(arguments: Any) -> list[fx.Node]:  # noqa: ANN401  # any literal
    found: list[fx.Node] = []

    def note(node: fx.Node) -> fx.Node:
        found.append(node)
        return node

    fx.map_arg(arguments, note)
    return found


def _argument(call: fx.Node, index: int, name: str, default: Any) -> Any:  # noqa: ANN401  # literal
    return call.args[index] if len(call.args) > index else call.kwargs.get(name, default)


_Call = tuple[Callable[..., Any], tuple[Any, ...]]


def _reshape(_call: fx.Node, base: fx.Node, value: fx.Node) -> _Call:
    return _aten.reshape_as.default, (value, base)


def _select(call: fx.Node, base: fx.Node, value: fx.Node) -> _Call:
    position = (_argument(call, 1, "dim", 0), _argument(call, 2, "index", 0))
    return _aten.select_scatter.default, (base, value, *position)


def _slice(call: fx.Node, base: fx.Node, value: fx.Node) -> _Call:
    start, end = _argument(call, 2, "start", None), _argument(call, 3, "end", None)
    dim, step = _argument(call, 1, "dim", 0), _argument(call, 4, "step", 1)
    position = (dim, 0 if start is None else start, _ALL if end is None else end, step)
    return _aten.slice_scatter.default, (base, value, *position)


def _narrow(call: fx.Node, base: fx.Node, value: fx.Node) -> _Call | None:
    dim, start, length = (call.args + (None,) * 3)[1:4]
    if not isinstance(start, int) or not isinstance(length, int):
        return None
    end = start + length
    return _aten.slice_scatter.default, (base, value, dim, start, _ALL if end == 0 else end)


def _diagonal(call: fx.Node, base: fx.Node, value: fx.Node) -> _Call:
    position = (
        _argument(call, 1, "offset", 0),
        _argument(call, 2, "dim1", 0),
        _argument(call, 3, "dim2", 1),
    )
    return _aten.diagonal_scatter.default, (base, value, *position)


def _permute(call: fx.Node, _base: fx.Node, value: fx.Node) -> _Call:
    dims = [dim % len(call.args[1]) for dim in call.args[1]]  # type: ignore[arg-type,union-attr,operator]
    return _aten.permute.default, (value, [dims.index(d) for d in range(len(dims))])


def _swap_back(call: fx.Node, _base: fx.Node, value: fx.Node) -> _Call:
    """Swap two dimensions back."""
    return call.target, (value, *call.args[1:])  # type: ignore[return-value]


_INVERSES: dict[str, Callable[[fx.Node, fx.Node, fx.Node], _Call | None]] = {
    **dict.fromkeys(
        "view reshape flatten unflatten squeeze unsqueeze view_as reshape_as ravel".split(),
        _reshape,
    ),
    "select": _select,
    "slice": _slice,
    "narrow": _narrow,
    "diagonal": _diagonal,
    "permute": _permute,
    **dict.fromkeys("transpose t numpy_T swapaxes swapdims mT".split(), _swap_back),
}

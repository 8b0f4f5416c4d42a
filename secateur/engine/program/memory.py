"""Rewrite writes through views: ``x[:, 0] = y`` becomes a new ``x``, which later calls read.

A value that shares memory is a *view* of another; what is no view of anything is a root. A write
makes new values of the view that was written, of each value between it and its root, and of the
root, by the scatter operator that undoes each view (`select` → `select_scatter`). Any other view of
that root is looked at again before it is read. Which values share memory is found out by running
the graph on meta tensors, in place, as the user's model would. Called by `functional`.
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
_CUTS = frozenset("split split_with_sizes chunk unbind tensor_split unsafe_split".split())


@dataclass(frozen=True)
class _View:
    """How a value looks into another's memory.

    Attributes:
        base: The other value.
        call: The call that made the view; None for the result of a write, which is what it wrote.
        piece: Dimension, start and end of a piece of ``base``; None for other views.
        is_plain: Whether it is made of its first argument alone.
    """

    base: fx.Node
    call: fx.Node | None
    piece: tuple[int, int, int] | None = None
    is_plain: bool = True


class _Memory:
    """What every value of a graph is at the call that is looked at.

    Args:
        graph: Is changed.
        values: Of its nodes, on meta tensors.
    """

    def __init__(self, graph: fx.Graph, values: Shapes) -> None:
        self._graph = graph
        self._values = values
        self._views: dict[fx.Node, _View] = {}
        self._versions: dict[fx.Node, int] = {}  # of roots: how often they were written
        self._now: dict[fx.Node, tuple[int, fx.Node]] = {}  # since which version, and what
        self._insert_after: fx.Node | None = None
        # Calls that cut a value into pieces: which value, and at which version.
        self._cut: dict[fx.Node, tuple[fx.Node, int]] = {}
        self._made: list[fx.Node] = []

    def visit(self, node: fx.Node) -> None:
        """Have ``node`` read what its arguments are now, and note what it writes."""
        self._at, self._insert_after = node, None
        given = node.args[0] if node.args else None
        original = (node.args, node.kwargs)
        node.args = fx.map_arg(node.args, self.now)
        node.kwargs = fx.map_arg(node.kwargs, self.now)
        if node.op != "call_function":
            return
        form = _form(node)
        if form is None:
            self._note_view(node, original)
            return
        assert isinstance(given, fx.Node)  # noqa: S101  # checked by `functional`
        self._refuse_state(node, given)
        node.target = form
        if form is _aten.zeros_like.default:
            node.args, node.kwargs = node.args[:1], {}
        self._write(given, node)

    def now(self, value: fx.Node) -> fx.Node:
        """Return the node that holds what ``value`` holds before the current call."""
        version = self._versions.get(self._root(value), 0)
        since, node = self._now.get(value, (0, value))
        if since == version:
            return node
        view = self._views[value]
        node = self._looked_at_again(view)
        self._now[value] = (version, node)
        return node

    def finish(self) -> None:
        """Remove what was made and is never read."""
        for node in reversed(self._made):
            if not node.users:
                self._graph.erase_node(node)

    def _root(self, value: fx.Node) -> fx.Node:
        while value in self._views:
            value = self._views[value].base
        return value

    def _look(self, node: fx.Node, view: _View) -> None:
        self._views[node] = view
        self._now[node] = (self._versions.get(self._root(node), 0), node)

    def _note_view(self, node: fx.Node, original: tuple[Any, Any]) -> None:
        value = self._values[node]
        first = value[0] if isinstance(value, (list, tuple)) and value else value
        if not isinstance(first, Tensor):
            return
        given = original[0][0] if original[0] else None
        for base in _nodes(original):
            source = self._values[base]
            if base in self._cut:
                self._note_piece(node, base, node.args[1])
                return
            if base in self._views and not isinstance(source, Tensor):  # one of several views
                self._look(node, _View(base, node, is_plain=False))
                return
            if not isinstance(source, Tensor) or _storage(source) != _storage(first):
                continue
            if first is not value and op_name(node.target) in _CUTS:
                self._cut[node] = (base, self._versions.get(self._root(base), 0))
            else:
                self._look(node, _View(base, node, is_plain=first is value and given is base))
            return

    def _note_piece(self, node: fx.Node, cut: fx.Node, number: Any) -> None:  # noqa: ANN401  # int
        """Note what ``getitem`` takes of ``split``, ``chunk`` or ``unbind``."""
        base = self._cut[cut][0]
        value, whole = self._values[node], self._values[base]
        pieces = self._values[cut]
        if whole.dim() != value.dim():  # unbind: a place
            dim = _argument(cut, 1, "dim", 0) % whole.dim()
            piece = (dim, number, -1)
        else:
            dim = _argument(cut, 2, "dim", 0) % whole.dim()
            start = sum(each.shape[dim] for each in pieces[:number])
            piece = (dim, start, start + value.shape[dim])
        self._views[node] = _View(base, node, piece)
        self._now[node] = (self._cut[cut][1], node)  # the pieces were cut then

    def _write(self, written: fx.Node, result: fx.Node) -> None:
        """Make ``result`` what ``written`` holds, and give all it looks into new values."""
        chain = [written]
        while chain[-1] in self._views:
            chain.append(self._views[chain[-1]].base)
        before = {value: self.now(value) for value in chain}
        root = chain[-1]
        version = self._versions.get(root, 0) + 1
        self._insert_after = result
        value = self._of_type(result, written)
        for looking, base in itertools.pairwise(chain):
            self._now[looking] = (version, value)
            view = self._views[looking]
            if view.call is not None:
                value = self._undone(view, view.call, before[base], value)
        self._now[root] = (version, value)
        self._versions[root] = version
        if self._at is not written:
            self._views[self._at] = _View(written, None)
            self._now[self._at] = (version, self._now[written][1])

    def _of_type(self, result: fx.Node, written: fx.Node) -> fx.Node:
        """A write keeps the type of what it writes into, where its functional form promotes."""
        args, kwargs = fx.map_arg((result.args, result.kwargs), self._values.__getitem__)
        with torch.no_grad():
            promoted = result.target(*args, **kwargs).dtype  # type: ignore[operator]
        dtype = self._values[written].dtype
        if promoted == dtype:
            return result
        return self._make(_aten._to_copy.default, (result,), {"dtype": dtype})  # noqa: SLF001

    def _undone(self, view: _View, call: fx.Node, base: fx.Node, value: fx.Node) -> fx.Node:
        """Return ``base`` with ``value`` where the view of it looks."""
        if view.piece is not None:
            dim, start, end = view.piece
            if end < 0:
                return self._make(_aten.select_scatter.default, (base, value, dim, start))
            if dim == 0:
                raise _no_inverse(call)
            return self._make(_aten.slice_scatter.default, (base, value, dim, start, end))
        undo = _UNDO.get(op_name(call.target)) if view.is_plain else None
        found = undo(call, base, value) if undo is not None else None
        if found is None and self._is_same_place(call, view):
            return value
        if found is None:
            raise _no_inverse(call)
        return self._make(*found)

    def _is_same_place(self, call: fx.Node, view: _View) -> bool:
        """Return whether a view is its base: ``contiguous`` of what is, ``to`` of that type."""
        a, b = self._values[call], self._values[view.base]
        return bool(a.shape == b.shape and a.stride() == b.stride() and a.dtype == b.dtype)

    def _looked_at_again(self, view: _View) -> fx.Node:
        base = self.now(view.base)
        if view.call is None:
            return base
        if view.piece is not None:
            dim, start, end = view.piece
            if end < 0:
                return self._make(_aten.select.int, (base, dim, start))
            return self._make(_aten.slice.Tensor, (base, dim, start, end))
        if not view.is_plain:
            raise _no_inverse(view.call)
        target, args = view.call.target, (base, *view.call.args[1:])
        assert callable(target)  # noqa: S101  # it is a call
        return self._make(target, args, dict(view.call.kwargs), view.call)

    def _make(
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
        self._made.append(node)
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
            "network must give the same answer twice",
            hint=f"Take the line out, write into a copy (self.{name}.clone()), or do it only if "
            "self.training, and export again.",
        )


def rewrite_writes(graph: fx.Graph, values: Shapes) -> None:
    """Make every write of ``graph`` a call that returns what is written.

    Args:
        graph: Is changed.
        values: Of its nodes on meta tensors, in place: views share storage with their bases.

    Raises:
        UnsupportedOpError: It writes into a tensor that the model keeps, or through a view that
            has no inverse.
    """
    memory = _Memory(graph, values)
    for node in list(graph.nodes):
        memory.visit(node)
    memory.finish()


def _form(node: fx.Node) -> torch._ops.OpOverload | None:
    is_overload = isinstance(node.target, torch._ops.OpOverload)  # noqa: SLF001
    if not is_overload or not node.target._schema.is_mutable:  # type: ignore[union-attr]  # noqa: SLF001
        return None
    form = functional_form(node.target)  # type: ignore[arg-type]
    if form is None:
        raise UnsupportedOpError(f"{where(node)} has no form that is not in place")
    return form


def _no_inverse(call: fx.Node) -> UnsupportedOpError:
    return UnsupportedOpError(
        f"the model writes into a view made by {where(call)}, which has no inverse here",
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
    place = (_argument(call, 1, "dim", 0), _argument(call, 2, "index", 0))
    return _aten.select_scatter.default, (base, value, *place)


def _slice(call: fx.Node, base: fx.Node, value: fx.Node) -> _Call:
    start, end = _argument(call, 2, "start", None), _argument(call, 3, "end", None)
    dim, step = _argument(call, 1, "dim", 0), _argument(call, 4, "step", 1)
    place = (dim, 0 if start is None else start, _ALL if end is None else end, step)
    return _aten.slice_scatter.default, (base, value, *place)


def _narrow(call: fx.Node, base: fx.Node, value: fx.Node) -> _Call | None:
    dim, start, length = (call.args + (None,) * 3)[1:4]
    if not isinstance(start, int) or not isinstance(length, int):
        return None
    end = start + length
    return _aten.slice_scatter.default, (base, value, dim, start, _ALL if end == 0 else end)


def _diagonal(call: fx.Node, base: fx.Node, value: fx.Node) -> _Call:
    place = [_argument(call, 1 + i, n, i) for i, n in enumerate(("offset", "dim1", "dim2"))]
    place[1:] = [_argument(call, 2, "dim1", 0), _argument(call, 3, "dim2", 1)]
    return _aten.diagonal_scatter.default, (base, value, *place)


def _permute(call: fx.Node, _base: fx.Node, value: fx.Node) -> _Call:
    dims = [dim % len(call.args[1]) for dim in call.args[1]]  # type: ignore[arg-type,union-attr,operator]
    return _aten.permute.default, (value, [dims.index(d) for d in range(len(dims))])


def _again(call: fx.Node, _base: fx.Node, value: fx.Node) -> _Call:
    """Swapping two dimensions twice leaves them as they were."""
    return call.target, (value, *call.args[1:])  # type: ignore[return-value]


_UNDO: dict[str, Callable[[fx.Node, fx.Node, fx.Node], _Call | None]] = {
    **dict.fromkeys(
        "view reshape flatten unflatten squeeze unsqueeze view_as reshape_as ravel".split(),
        _reshape,
    ),
    "select": _select,
    "slice": _slice,
    "narrow": _narrow,
    "diagonal": _diagonal,
    "permute": _permute,
    **dict.fromkeys("transpose t numpy_T swapaxes swapdims mT".split(), _again),
}

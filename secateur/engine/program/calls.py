"""Build the graph of a ``.pt2`` file from its serialised nodes, under node names of our own."""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from secateur.engine.errors import ModelTooLargeError, UnsupportedOpError
from secateur.engine.program.document import Document
from secateur.engine.program.exported import CONTEXTS, source_line
from secateur.engine.program.functional import op_name
from secateur.engine.program.stored import read_dtype
from secateur.engine.program.vocabulary import ASSERTIONS, find_operator, why_refused

# torch._export.serde.schema.MemoryFormat
_MEMORY_FORMATS = {
    1: torch.contiguous_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
    4: torch.preserve_format,
}
_NAME = r"[^\x00]{1,512}"
_MAX_DEPTH = 16


class GraphBuilder:
    """Builds a graph whose values are looked up by their serialised names."""

    def __init__(self, max_calls: int) -> None:
        self.graph = fx.Graph()
        self._values: dict[str, fx.Node] = {}
        self._num_inputs = 0
        self._num_tensors = 0
        self._num_calls = 0
        self._max_calls = max_calls
        self._depth = 0

    def add_input(self, name: str) -> None:
        """Add an input of the model."""
        self._define(name, self.graph.create_node("placeholder", f"x{self._num_inputs}"))
        self._num_inputs += 1

    def add_tensor(self, name: str, tensor: str) -> None:
        """Add a stored tensor."""
        self._num_tensors += 1
        node = self.graph.create_node("get_attr", tensor, name=f"t{self._num_tensors}")
        self._define(name, node)

    def add_calls(self, nodes: Document) -> None:
        """Add the calls of a graph.

        Raises:
            UnsupportedOpError: A call's operator is not in the vocabulary.
            ModelRejectedError: An argument is of a kind that is not accepted.
            ModelTooLargeError: There are more calls than the limit.
        """
        calls = nodes.list()
        self._num_calls += len(calls)
        if self._num_calls > self._max_calls:
            raise ModelTooLargeError(
                f"{nodes.path}: {self._num_calls} calls, at most {self._max_calls}"
            )
        for call in calls:
            self._add_call(call)

    def _add_call(self, call: Document) -> None:
        target = call["target"].string(_NAME)
        library, _, name = target.rpartition(".")
        if library == "torch.ops.higher_order" and name in CONTEXTS:
            self._inline(call, CONTEXTS[name])
            return
        if target == "torch.ops.higher_order.cond":
            self._choose(call)
            return
        trace = call["metadata"].get("stack_trace")
        source = source_line(trace.string(r"[^\x00]{0,65536}")) if trace is not None else ""
        operator = find_operator(target)
        if operator is None:
            line = f" ({source})" if source else ""
            raise UnsupportedOpError(f"{target[:200]}{line} {why_refused(target)}")
        if op_name(operator) in ASSERTIONS:
            return
        given = [(item["name"].string(r"\w{0,64}"), item) for item in call["inputs"].list()]
        args, kwargs = self._bind(call, operator, given)
        node = self.graph.create_node("call_function", operator, args, kwargs)
        node.meta["source"] = source
        self._define_outputs(call, node)

    def _inline(self, call: Document, position: int) -> None:
        """Replace a context operator by the calls of the graph that it runs."""
        inputs = [item["arg"] for item in call["inputs"].list()]
        if len(inputs) <= position:
            call.refuse("has no graph")
        given = [self.argument(item) for item in inputs[position + 1 :]]
        self._define_results(call, self._run(inputs[position], given))

    def _choose(self, call: Document) -> None:
        """Replace ``cond`` by the calls of both branches and a choice between their results."""
        inputs = [item["arg"] for item in call["inputs"].list()]
        if len(inputs) != 4:  # noqa: PLR2004  # the condition, two graphs and their arguments
            call.refuse("is not a condition with two branches")
        condition = self.argument(inputs[0])
        if inputs[0].only()[0] != "as_tensor":
            raise UnsupportedOpError(
                "torch.cond on a size is not accepted: the graph would depend on the batch. Write "
                "the condition as a tensor, or export one branch"
            )
        operands = self.argument(inputs[3])
        given = operands if isinstance(operands, list) else [operands]
        scalar = self.graph.call_function(torch.ops.aten.reshape.default, (condition, []))
        pairs = zip(self._run(inputs[1], given), self._run(inputs[2], given), strict=False)
        where = torch.ops.aten.where.self
        results = [self.graph.call_function(where, (scalar, *pair)) for pair in pairs]
        self._define_results(call, results)

    def _run(self, holder: Document, given: list[Any]) -> list[Any]:
        """Add the calls of a nested graph for the arguments ``given``; return its results."""
        graph = holder["as_graph"]["graph"]
        if self._depth >= _MAX_DEPTH:
            graph.refuse(f"graphs nest more than {_MAX_DEPTH} deep")
        names = [name for item in graph["inputs"].list() for name in _names(item)]
        if len(names) != len(given):
            graph.refuse(f"{len(given)} arguments for {len(names)} inputs")
        outer, self._values, self._depth = self._values, {}, self._depth + 1
        for name, value in zip(names, given, strict=True):
            if not isinstance(value, fx.Node):
                name.refuse("gets an argument that is neither a tensor nor a size")
            self._define(name.string(_NAME), value)
        self.add_calls(graph["nodes"])
        results = [self.argument(item) for item in graph["outputs"].list()]
        self._values, self._depth = outer, self._depth - 1
        return results

    def _define_results(self, call: Document, results: list[Any]) -> None:
        wanted = [name for item in call["outputs"].list() for name in _names(item)]
        if len(wanted) != len(results):
            call.refuse(f"{len(wanted)} names for {len(results)} results")
        for name, value in zip(wanted, results, strict=True):
            if not isinstance(value, fx.Node):
                name.refuse("is neither a tensor nor a size")
            self._define(name.string(_NAME), value)

    def argument(self, item: Document) -> Any:  # noqa: ANN401  # any literal
        """Return a serialised argument: a node, a literal, or a list of either."""
        kind, body = item.only()
        reader = _LITERALS.get(kind)
        if reader is not None:
            return reader(body)
        if kind in {"as_tensor", "as_optional_tensor"}:
            return self._tensor(body)
        if kind in {"as_tensors", "as_optional_tensors"}:
            return [self._tensor(entry) for entry in body.list()]
        if kind in _SYMBOLS:
            return self._symbol(body)
        if kind == "as_sym_ints":
            return [self._symbol(entry) for entry in body.list()]
        return item.refuse(f"arguments of kind {kind[:60]!r} are not accepted")

    def _tensor(self, body: Document) -> fx.Node | None:
        if "as_none" in (body.value if isinstance(body.value, dict) else {}):
            return None
        nested = body.get("as_tensor")
        return self._value((nested or body)["name"])

    def _symbol(self, body: Document) -> fx.Node | float:
        kind, value = body.only()
        reader = _SYMBOLS.get(kind.replace("as_", "as_sym_"))
        return reader(value) if reader is not None else self._value(body["as_name"])

    def _value(self, name: Document) -> fx.Node:
        found = self._values.get(name.string(_NAME))
        if found is None:
            name.refuse(f"{str(name.value)[:60]!r} is used before it is defined")
        return found

    def _bind(
        self, call: Document, operator: Callable[..., Any], given: list[tuple[str, Document]]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Split arguments into positional and keyword ones by the operator's schema."""
        values = [(name, self.argument(item["arg"])) for name, item in given]
        if not isinstance(operator, torch._ops.OpOverload):  # noqa: SLF001  # no public name
            return tuple(value for _, value in values), {}
        by_name = dict(values)
        schema = operator._schema.arguments  # noqa: SLF001  # torch has no public schema
        unknown = by_name.keys() - {argument.name for argument in schema}
        if unknown or len(by_name) != len(values):
            call.refuse(
                f"{op_name(operator)} does not take {sorted(unknown) or 'an argument twice'}"
            )
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        is_contiguous = True
        for argument in schema:
            if argument.name not in by_name:
                is_contiguous = False
            elif argument.kwarg_only or not is_contiguous:
                kwargs[argument.name] = by_name[argument.name]
            else:
                args.append(by_name[argument.name])
        return tuple(args), kwargs

    def _define_outputs(self, call: Document, node: fx.Node) -> None:
        outputs = call["outputs"].list()
        names = [name for output in outputs for name in _names(output)]
        is_list = any(output.only()[0] == "as_tensors" for output in outputs)
        if len(names) == 1 and not is_list:
            self._define(names[0].string(_NAME), node)
            return
        getitem = find_operator("_operator.getitem")
        assert getitem is not None  # noqa: S101  # always in the vocabulary
        for index, name in enumerate(names):
            item = self.graph.create_node("call_function", getitem, (node, index))
            self._define(name.string(_NAME), item)

    def _define(self, name: str, node: fx.Node) -> None:
        if name in self._values:
            Document(None, "graph").refuse(f"{name[:60]!r} is defined twice")
        self._values[name] = node


def _names(result: Document) -> list[Document]:
    """Return the value names that a call's result or a graph's input defines."""
    kind, body = result.only()
    if kind == "as_tensor":
        return [body["name"]]
    if kind == "as_tensors":
        return [entry["name"] for entry in body.list()]
    if kind in _SYMBOLS:
        return [body["as_name"]]
    return result.refuse(f"results of kind {kind[:60]!r} are not accepted")


def _memory_format(body: Document) -> torch.memory_format:
    found = _MEMORY_FORMATS.get(body.integer())
    return found if found is not None else body.refuse("is not a memory format")


_SYMBOLS: dict[str, Callable[[Document], Any]] = {
    "as_sym_int": Document.integer,
    "as_sym_float": Document.number,
    "as_sym_bool": Document.boolean,
}


def _numbers(read: Callable[[Document], Any]) -> Callable[[Document], list[Any]]:
    return lambda body: [read(entry) for entry in body.list()]


_LITERALS: dict[str, Callable[[Document], Any]] = {
    "as_none": lambda _body: None,
    "as_int": Document.integer,
    "as_ints": _numbers(Document.integer),
    "as_float": Document.number,
    "as_floats": _numbers(Document.number),
    "as_bool": Document.boolean,
    "as_bools": _numbers(Document.boolean),
    "as_string": lambda body: body.string(r"[ -~]{0,256}"),
    "as_scalar_type": read_dtype,
    "as_memory_format": _memory_format,
    "as_layout": lambda _body: torch.strided,
    # The device of the user's machine is ignored.
    "as_device": lambda _body: torch.device("cpu"),
}

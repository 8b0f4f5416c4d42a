"""Runs an ONNX graph node by node on ATen operators, so that ``torch.export`` can record it."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from onnx import NodeProto
from torch import Tensor, nn

from secateur.engine.errors import EngineError, UnsupportedOpError
from secateur.engine.onnx_in.call import Call, Node, Use, Value, is_real, is_symbol, to_tensor
from secateur.engine.onnx_in.file import OnnxFile
from secateur.engine.onnx_in.fold import fold
from secateur.engine.onnx_in.operators.table import OPERATORS
from secateur.engine.program.program import Role

Values = dict[str, Value]
PREFIX = "n"  # of the submodule of a node, followed by its number
# Raised by torch, by its reference implementations, and by `onnx.reference`.
REFUSALS = (
    RuntimeError, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError,
    ValueError,
)  # fmt: skip


@dataclass
class Notes:
    """What was learnt while the network ran.

    An object of its own: ``torch.export`` takes back what a module writes into its dictionaries.

    Attributes:
        roles: Role of each constant that was read as a tensor, by its name in the file.
        computed: Values that turned out to be known, by name, such as a bias of zeros whose length
            is read from another value's shape.
        has_late: Whether one of them was read as a tensor.
    """

    roles: dict[str, Role] = field(default_factory=dict)
    computed: dict[str, np.ndarray] = field(default_factory=dict)
    has_late: bool = False

    def note(self, name: str, role: Role) -> None:
        """Note one use of a constant; a tensor with several uses is trained if one is a weight."""
        if self.roles.get(name) is not Role.PARAMETER:
            self.roles[name] = role


class Importer(nn.Module):
    """Network of an ONNX file. It returns a tensor, or several by their names.

    Attributes:
        notes: Roles of the constants that were read, and values that turned out to be known.
        buffers_by_name: Name of the buffer that holds a constant, by its name in the file.
    """

    def __init__(self, file: OnnxFile, computed: Mapping[str, np.ndarray] | None = None) -> None:
        super().__init__()
        self._file = file
        self.notes = Notes()
        self.buffers_by_name: dict[str, str] = {}
        self._uses: Counter[str] = Counter()
        self._stored = set(file.tensors)
        self._known: Values = {**file.tensors, **(computed or {})}
        self._steps: list[tuple[int, Node, NodeProto]] = []
        for number, (node, proto) in enumerate(file.nodes):
            is_known = all(name in self._known for name in node.outputs if name)
            if not is_known and not self._fold(node, proto):
                self._steps.append((number, self._untied(node), proto))
        read = [name for _, node, _ in self._steps for name in node.inputs]
        for name in dict.fromkeys([*read, *file.output_names]):
            value = self._known.get(name)
            if isinstance(value, np.ndarray) and (value.dtype.kind in "iub" or is_real(value)):
                self._register(name, value)
        for number, node, proto in self._steps:
            self.add_module(f"{PREFIX}{number}", _Step(node, proto, self))

    def forward(self, *inputs: Tensor) -> Tensor | dict[str, Tensor]:
        """Return the outputs."""
        values = self.run(inputs)
        found = {name: self._output(values, name) for name in self._file.output_names}
        return found if len(found) > 1 else next(iter(found.values()))

    def run(
        self, inputs: tuple[Tensor, ...], note: Callable[[Node, Values], None] | None = None
    ) -> Values:
        """Return the values of all nodes; call ``note`` after each one.

        Raises:
            UnsupportedOpError: A node cannot be computed, or needs a fixed batch.
        """
        values: Values = {
            **self._known,
            **dict(zip((each.name for each in self._file.inputs), inputs, strict=True)),
        }
        for number, node, _ in self._steps:
            step = self.get_submodule(f"{PREFIX}{number}")
            found = step(*(values[name] if name else None for name in node.inputs))
            for name, value in zip(node.outputs, found, strict=False):
                if name:
                    values[name] = value
                if name and isinstance(value, np.ndarray) and value.dtype != object:
                    self.notes.computed[name] = value
            _check_batch(node, inputs)
            if note is not None:
                note(node, values)
        return values

    def call(self, node: Node, values: tuple[Value | None, ...]) -> Call:
        """Return a node with its values."""
        file = self._file
        return Call(node, values, file.opset, file.batch_size, self.load)

    def load(self, name: str, array: np.ndarray, use: Use) -> Tensor:
        """Return the tensor of a known value."""
        buffer = self.buffers_by_name.get(name)
        if buffer is None:
            self.notes.has_late |= is_real(array) and array.size > 1
            return to_tensor(array)
        found: Tensor = getattr(self, buffer)
        self.notes.note(name, self._role(name, array, use))
        return found

    def _role(self, name: str, array: np.ndarray, use: Use) -> Role:
        """Return the role of a constant: operands are trained if the file stores them."""
        if not is_real(array):
            return Role.CONSTANT
        if use == "statistic":
            return Role.BUFFER
        is_list = name in self._stored and array.size > 1 and bool(np.isfinite(array).all())
        return Role.PARAMETER if use == "weight" or is_list else Role.CONSTANT

    def _output(self, values: Values, name: str) -> Tensor:
        value = values[name]
        return value if isinstance(value, Tensor) else self.load(name, value, "operand")

    def _untied(self, node: Node) -> Node:
        """Return a node whose vectors are its own.

        Exporters store equal biases once. Pruning would take the layers that read them for one.
        """
        names = tuple(
            self._own(name) if _is_vector(self._known.get(name)) else name for name in node.inputs
        )
        return replace(node, inputs=names)

    def _own(self, name: str) -> str:
        """Return the name of a vector at its first use, and of a copy at each further one."""
        self._uses[name] += 1
        number = self._uses[name]
        if number == 1:
            return name
        while f"{name}_{number}" in self._known:
            number += 1
        self._known[f"{name}_{number}"] = self._known[name]
        if name in self._stored:
            self._stored.add(f"{name}_{number}")
        return f"{name}_{number}"

    def _fold(self, node: Node, proto: NodeProto) -> bool:
        """Compute a node of constants; return whether that was possible."""
        if not all(name in self._known for name in node.inputs if name):
            return False
        call = self.call(node, tuple(self._known[n] if n else None for n in node.inputs))
        found = _refusing(node, lambda: fold(call, proto))
        if found is None:
            return False
        self._known.update(
            (name, value) for name, value in zip(node.outputs, found, strict=False) if name
        )
        return True

    def _register(self, name: str, array: np.ndarray) -> None:
        buffer = f"t{len(self.buffers_by_name)}"
        self.buffers_by_name[name] = buffer
        self.register_buffer(buffer, to_tensor(array))


class _Step(nn.Module):
    """One node, as a module so that the export records which node a call came from."""

    def __init__(self, node: Node, proto: NodeProto, owner: Importer) -> None:
        super().__init__()
        self._node, self._proto = node, proto
        self._owner = [owner]  # in a list: not a submodule

    def forward(self, *values: Value | None) -> list[Any]:
        call = self._owner[0].call(self._node, values)
        found: list[Any] = _refusing(self._node, lambda: self._run(call))
        return found

    def _run(self, call: Call) -> list[Any]:
        found: Any = fold(call, self._proto)
        if found is None:
            found = OPERATORS[self._node.operator](call)
        return list(found) if isinstance(found, (list, tuple)) else [found]


def _is_vector(value: Value | None) -> bool:
    """Return whether a value is a known list of real numbers, in any direction."""
    if not isinstance(value, np.ndarray) or not is_real(value):
        return False
    return bool(1 < value.size == max(value.shape))


def _check_batch(node: Node, inputs: tuple[Tensor, ...]) -> None:
    """Refuse a node that works for one batch size only.

    Raises:
        UnsupportedOpError: The size of the batch is no longer a symbol.
    """
    for x in inputs:
        size: Any = x.shape[0]
        if is_symbol(size) and size.node.maybe_as_int() is not None:
            raise UnsupportedOpError(f"{node.where} works for one batch size only")


def _refusing(node: Node, function: Callable[[], Any]) -> Any:  # noqa: ANN401  # whatever it returns
    """Call a function; name the node if it fails.

    Raises:
        UnsupportedOpError: The node cannot be computed.
    """
    try:
        return function()
    except EngineError:
        raise
    except REFUSALS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise UnsupportedOpError(f"{node.where} cannot be computed: {reason}") from error

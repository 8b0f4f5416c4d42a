"""One node of an ONNX graph, as the functions in `operators` see it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

import numpy as np
import torch
from onnx import TensorProto
from onnx.helper import tensor_dtype_to_np_dtype
from torch import Tensor

from secateur.engine.errors import UnsupportedOpError

# A known value is an array: a constant of the file, or a size. Arrays of type `object` hold the
# batch size, which is a symbol while the network is exported. Everything else is a tensor.
Value = Tensor | np.ndarray
Numbers = Sequence[Any]
# What a constant is for: weights are trained, and statistics tracked. Operands are trained unless
# they are single or infinite numbers, as masks are.
Use = Literal["weight", "statistic", "operand"]

_SHOWN_CHARACTERS = 80
_BFLOAT16 = tensor_dtype_to_np_dtype(TensorProto.BFLOAT16)
_MOST_NUMBERS = 10_000  # in a list of sizes, pads or parts


@dataclass(frozen=True)
class Node:
    """A node of the file.

    Attributes:
        name: Its name, or its number if it has none.
        operator: Its ONNX operator.
        inputs: Names of its inputs; empty for one that is left out.
        outputs: Names of its outputs; empty for one that nothing reads.
        attributes: Its attributes.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def where(self) -> str:
        """The node for messages."""
        return f"the node {shown(self.name)} ({self.operator[:_SHOWN_CHARACTERS]})"


@dataclass(frozen=True)
class Call:
    """A node with the values of its inputs.

    Attributes:
        node: The node.
        values: Values of the inputs; None for one that is left out.
        opset: Version of ONNX's operators in the file.
        batch_size: Number of samples that the file was made for; None: any.
        load: Returns the tensor of a known value: ``load(name, array, use)``.
    """

    node: Node
    values: tuple[Value | None, ...]
    opset: int
    batch_size: int | None
    load: Callable[[str, np.ndarray, Use], Tensor]

    def has(self, index: int) -> bool:
        """Return whether an input is given."""
        return index < len(self.values) and self.values[index] is not None

    def value(self, index: int) -> Value:
        """Return an input."""
        found = self.values[index] if index < len(self.values) else None
        if found is None:
            self.refuse(f"has no input {index}")
        return found

    def tensor(self, index: int, use: Use = "operand") -> Tensor:
        """Return an input as a tensor; a constant of the file becomes a parameter."""
        value = self.value(index)
        if isinstance(value, Tensor):
            return value
        if value.dtype == object:
            self.refuse("computes with the batch size, which is not known")
        return self.load(self.node.inputs[index], value, use)

    def weight(self, index: int) -> Tensor:
        """Return an input as a tensor that is always trained if the file holds it."""
        return self.tensor(index, "weight")

    def maybe_weight(self, index: int) -> Tensor | None:
        """Return a weight, or None if it is left out."""
        return self.weight(index) if self.has(index) else None

    def known(self, index: int) -> np.ndarray:
        """Return an input that does not depend on the samples."""
        value = self.value(index)
        if isinstance(value, Tensor):
            self.refuse(f"takes the input {shown(self.node.inputs[index])} from the samples")
        return value

    def numbers(self, index: int) -> list[Any]:
        """Return an input that does not depend on the samples as a short list of numbers."""
        found = self.known(index)
        if found.size > _MOST_NUMBERS:
            self.refuse(f"takes {found.size} numbers, at most {_MOST_NUMBERS} are accepted")
        if is_real(found):
            found = found.astype(np.float64)  # bfloat16 has no numbers of Python
        return list(np.atleast_1d(found).tolist())

    def number(self, index: int) -> Any:  # noqa: ANN401  # int or float, as the file has it
        """Return an input with one value."""
        found = self.numbers(index)
        if len(found) != 1:
            self.refuse(f"takes {len(found)} numbers where one is expected")
        return found[0]

    def attribute(self, name: str, default: Any = None) -> Any:  # noqa: ANN401  # as in the file
        """Return an attribute, or its default."""
        return self.node.attributes.get(name, default)

    def listed(self, name: str, index: int, default: Numbers | None = None) -> Numbers | None:
        """Return a list that is an attribute in older opsets, and an input in later ones."""
        if name in self.node.attributes:
            return list(self.node.attributes[name])
        return self.numbers(index) if self.has(index) else default

    def literal(self, name: str, index: int, default: Any = None) -> Any:  # noqa: ANN401  # a number
        """Return a number that is an attribute in older opsets, and an input in later ones."""
        if name in self.node.attributes:
            return self.node.attributes[name]
        return self.number(index) if self.has(index) else default

    def check(self, name: str, *allowed: object) -> None:
        """Refuse an attribute whose value is not among those allowed."""
        found = self.attribute(name, allowed[0])
        if found not in allowed:
            self.refuse(f"has {name} {shown(str(found))}, which is not supported")

    def refuse(self, reason: str) -> NoReturn:
        """Refuse the file.

        Raises:
            UnsupportedOpError: Always; the message names the node.
        """
        raise UnsupportedOpError(f"{self.node.where} {reason}")


Function = Callable[[Call], Any]


def shown(text: str) -> str:
    """Return a string of the file for a message."""
    return repr(text[:_SHOWN_CHARACTERS])


def is_symbol(size: object) -> bool:
    """Return whether a size depends on the batch."""
    return not isinstance(size, int)


def is_real(array: np.ndarray) -> bool:
    """Return whether an array holds floating-point numbers; numpy's own kinds lack bfloat16."""
    return array.dtype.kind == "f" or array.dtype == _BFLOAT16


def to_tensor(array: np.ndarray) -> Tensor:
    """Return a copy of an array as a tensor of its type."""
    own = np.array(array, order="C", copy=True)
    if own.dtype == _BFLOAT16:  # torch does not know numpy's extension
        return torch.from_numpy(own.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(own)


def static_shape(call: Call, x: Tensor, first: int) -> list[int]:
    """Return the sizes of ``x`` from dimension ``first`` on, which must be known."""
    sizes = list(x.shape[first:])
    if any(map(is_symbol, sizes)):
        call.refuse("works along the batch")
    return sizes


def as_operand(call: Call, index: int, rank: int) -> Tensor | float | int:
    """Return an operand; a single number that does not add dimensions is a literal."""
    value = call.value(index)
    if isinstance(value, np.ndarray) and value.size == 1 and value.ndim <= max(rank, 1):
        plain = value.astype(np.float64) if is_real(value) else value
        item: float | int = plain.reshape(()).item()
        if not isinstance(item, bool) and (isinstance(item, int) or math.isfinite(item)):
            return item
    return call.tensor(index)


def aten(operator: Callable[..., Any], *args: object, **kwargs: object) -> Tensor:
    """Call an ATen operator that returns one tensor."""
    found: Tensor = operator(*args, **kwargs)
    return found


def to_dtype(number: int) -> torch.dtype | None:
    """Return torch's type for an ONNX type number."""
    return _DTYPES.get(number)


_DTYPES = {
    1: torch.float32,
    2: torch.uint8,
    3: torch.int8,
    5: torch.int16,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float16,
    11: torch.float64,
    16: torch.bfloat16,
}

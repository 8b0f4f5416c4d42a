"""Canonical form of a model: an ATen graph and its tensors, without code.

Everything else in the engine takes or returns a `Program`. `reader` makes it from an uploaded
file, `exported` from an ``ExportedProgram``; `module` runs it and `writer` writes it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from secateur.engine.program.structure import CallSignature, output_names, unique


class Role(StrEnum):
    """Role of a tensor in a program: trained, tracked, or fixed."""

    PARAMETER = "parameter"
    BUFFER = "buffer"
    CONSTANT = "constant"


@dataclass(frozen=True)
class InputSpec:
    """One input of a program.

    Attributes:
        name: Name in the user's file.
        shape: Size of each dimension; ``None`` is the dynamic batch, a number in its place a batch
            that stays fixed.
        dtype: Type that the program computes with.
        own_dtype: Type of the input in the user's file, if it differs from ``dtype``.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: torch.dtype
    own_dtype: torch.dtype | None = None

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Size of each dimension of one sample."""
        return self.shape[1:]  # type: ignore[return-value]  # only the batch may be dynamic

    @property
    def given_dtype(self) -> torch.dtype:
        """Type of the input as the caller passes it."""
        return self.own_dtype or self.dtype

    def example(self, batch_size: int, generator: torch.Generator | None = None) -> Tensor:
        """Return a random batch: standard-normal values, bytes, or zeros and ones.

        Other integers are often indices into a table, where larger values could be too large.
        """
        shape = [batch_size, *self.sample_shape]
        if self.dtype.is_floating_point:  # rounded to the precision of the user's type
            return torch.randn(shape, generator=generator).to(self.given_dtype).to(self.dtype)
        past = 256 if self.dtype is torch.uint8 else 2
        return torch.randint(past, shape, generator=generator).to(self.dtype)


@dataclass(frozen=True)
class OnnxOrigin:
    """What an ONNX file says besides its network. The ONNX file of the pruned network keeps it.

    Attributes:
        output_names: Names of the outputs.
        opset: Version of ONNX's operators.
        metadata: The file's own properties, such as the characters that a recogniser knows.
        notes: What the import has changed, and what the file lacks, for the user.
    """

    output_names: tuple[str, ...]
    opset: int
    metadata: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Program:
    """Model as data. Treat graph and tensors as immutable; surgery builds new ones.

    Programs compare by identity, so results can be cached by program.

    Attributes:
        graph: ``placeholder`` nodes for the inputs in order, ``get_attr`` nodes whose target is a
            key of ``tensors``, ``call_function`` nodes whose targets are allow-listed ATen
            overloads or `operator` functions, and one ``output`` node with a flat tuple. Node
            names are ours; ``node.meta["source"]`` holds the user's source line where known.
        tensors: Every parameter, buffer and constant, by fully qualified name.
        roles: Role of each tensor.
        inputs: One spec per placeholder.
        output_tree: Nesting (tuple, list, dict) of the outputs that the user's model returns.
        call: Nesting of the inputs in the user's call.
        own_types: Types of tensors in the user's file, where they differ from the computed type
            (`precision`).
        own_output_types: Types of outputs in the user's file, by position, where they differ.
        origin: The rest of the ONNX file that the program was read from; None for other files.
        batch_note: Why the batch stays fixed, for the user; empty if it is dynamic.
    """

    graph: fx.Graph
    tensors: Mapping[str, Tensor]
    roles: Mapping[str, Role]
    inputs: tuple[InputSpec, ...]
    output_tree: pytree.TreeSpec
    call: CallSignature
    own_types: Mapping[str, torch.dtype] = field(default_factory=dict)
    own_output_types: Mapping[int, torch.dtype] = field(default_factory=dict)
    origin: OnnxOrigin | None = None
    batch_note: str = ""

    @property
    def batch_size(self) -> int | None:
        """Number of samples that one run of the graph takes; None: any."""
        return self.inputs[0].shape[0]

    @property
    def input_names(self) -> tuple[str, ...]:
        """Unique names of the inputs in files and responses, from the user's file."""
        return unique(spec.name for spec in self.inputs)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Unique names of the outputs in files and responses.

        From an ONNX file, or from the outputs' keys and positions.
        """
        if self.origin is not None:
            return unique(self.origin.output_names, taken=self.input_names)
        return output_names(self.output_tree, taken=self.input_names)

    @property
    def device(self) -> torch.device:
        """Device of the tensors; the CPU if there are none."""
        return next((t.device for t in self.tensors.values()), torch.device("cpu"))

    def parameters(self) -> dict[str, Tensor]:
        """Return the trained tensors by name."""
        return {k: t for k, t in self.tensors.items() if self.roles[k] is Role.PARAMETER}

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "Program":
        """Return the same graph with other tensors of the same names, in this program's order."""
        return replace(self, tensors={name: tensors[name] for name in self.tensors})

    def map_tensors(self, function: Callable[[Tensor], Tensor]) -> "Program":
        """Return the same graph with ``function`` applied to every tensor."""
        return self.with_tensors({name: function(t) for name, t in self.tensors.items()})

    def to(self, device: torch.device | str) -> "Program":
        """Return the program with every tensor on ``device``."""
        return self.map_tensors(lambda t: t.to(device))

    def example_inputs(self, batch_size: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Return one random batch per input; equal seeds give equal batches."""
        generator = torch.Generator().manual_seed(seed)
        return tuple(spec.example(batch_size, generator) for spec in self.inputs)

    def unflatten(self, outputs: list[Any]) -> Any:  # noqa: ANN401  # whatever the user's model returns
        """Nest flat outputs as the user's model returned them."""
        return pytree.tree_unflatten(outputs, self.output_tree)

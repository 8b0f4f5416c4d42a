"""The fp32 file, prepared for quantisation: shapes inferred, BatchNorm folded, every node named."""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import onnx
import torch
from onnx import ModelProto, NodeProto, version_converter
from onnxruntime.quantization import quant_pre_process

from secateur.engine.errors import ExportError
from secateur.engine.export.session import DTYPES
from secateur.engine.program.program import InputSpec
from secateur.engine.quantize.recipes import WEIGHTED
from secateur.engine.quantize.sessions import open_session

_LEAST_OPSET = 13  # the first with a scale per channel
_STANDARD = frozenset({"", "ai.onnx"})
_MOST_CHARACTERS = 200


@dataclass(frozen=True)
class Prepared:
    """A prepared fp32 file.

    Attributes:
        path: The file.
        model: Its content; treat it as immutable.
    """

    path: Path
    model: ModelProto

    @cached_property
    def layers(self) -> tuple[NodeProto, ...]:
        """Convolutions and matrix products with stored weights, in order."""
        stored = {tensor.name for tensor in self.model.graph.initializer}
        return tuple(
            node
            for node in self.model.graph.node
            if node.domain in _STANDARD and node.op_type in WEIGHTED and node.input[1] in stored
        )

    @cached_property
    def other_operators(self) -> tuple[str, ...]:
        """Names of the network's other operators, sorted."""
        layers = {node.name for node in self.layers}
        return tuple(sorted({n.op_type for n in self.model.graph.node if n.name not in layers}))

    @cached_property
    def ends(self) -> frozenset[str]:
        """Names of the layers that read an input, or give an output, through no other layer."""
        layers = {node.name for node in self.layers}
        graph = self.model.graph
        first = _reach(graph.node, {value.name for value in graph.input}, layers)
        back = [_reversed(node) for node in reversed(graph.node)]
        last = _reach(back, {value.name for value in graph.output}, layers)
        return frozenset(first | last)

    def label(self, node: NodeProto) -> str:
        """Return a layer's name for people: that of its weight."""
        return str(node.input[1])


def prepare(source: Path, path: Path) -> Prepared:
    """Write the prepared form of ``source`` to ``path``.

    Raises:
        ExportError: The file cannot be read, run or brought to opset 13.
    """
    try:
        model = _with_opset(onnx.load(source))
    except (ExportError, MemoryError):
        raise
    except Exception as error:  # of protobuf, or of the converter
        raise _unreadable(error) from error
    with _quiet():
        try:
            onnx.save(model, path)
            # Symbolic shapes are for transformers; where they fail, a file is left behind.
            quant_pre_process(path, path, skip_symbolic_shape=True)
        except MemoryError:
            raise
        except Exception as error:
            open_session(source)  # says why, if the file is at fault
            raise _unreadable(error) from error
    found = onnx.load(path)
    for number, node in enumerate(found.graph.node):
        node.name = f"{node.op_type}_{number}"  # unique: recipes name the nodes they leave out
    # ONNX Runtime adds every set of operators that it knows; the service accepts only ONNX's own.
    used = {node.domain for node in found.graph.node} | _STANDARD
    kept = [opset for opset in found.opset_import if opset.domain in used]
    del found.opset_import[:]
    found.opset_import.extend(kept)
    onnx.save(found, path)
    return Prepared(path, found)


def input_specs(path: Path, batch: Sequence[torch.Tensor]) -> tuple[InputSpec, ...]:
    """Return the inputs of a file, with the sizes of a batch where the file leaves them open.

    Raises:
        ExportError: The file has another number of inputs, or an input of a type without numbers.
    """
    session = open_session(path)
    values = session.get_inputs()
    if len(values) != len(batch):
        raise ExportError(f"the file has {len(values)} inputs, a sample has {len(batch)}")
    specs = []
    for value, x in zip(values, batch, strict=True):
        if value.type not in DTYPES:
            raise ExportError(f"input {value.name!r} has the type {value.type}")
        first = value.shape[0] if value.shape and isinstance(value.shape[0], int) else None
        shape = (first, *x.shape[1:]) if x.dim() else ()
        specs.append(InputSpec(value.name, shape, DTYPES[value.type]))
    return tuple(specs)


def _with_opset(model: ModelProto) -> ModelProto:
    """Return the model at opset 13 or later."""
    opset = next((o.version for o in model.opset_import if o.domain in _STANDARD), 0)
    if opset >= _LEAST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, _LEAST_OPSET)
    except Exception as error:
        raise ExportError(
            f"the file has opset {opset}, which cannot be converted to {_LEAST_OPSET}, the first "
            f"with int8 by channel: {_first_line(error)}"
        ) from error


def _reach(nodes: Sequence[NodeProto], values: set[str], layers: set[str]) -> set[str]:
    """Return the first layers on every path from ``values``."""
    reached, found = set(values), set()
    for node in nodes:
        if not reached.isdisjoint(node.input):
            if node.name in layers:
                found.add(node.name)
            else:
                reached.update(node.output)
    return found


def _reversed(node: NodeProto) -> NodeProto:
    turned = NodeProto(name=node.name)
    turned.input.extend(node.output)
    turned.output.extend(node.input)
    return turned


def _unreadable(error: Exception) -> ExportError:
    return ExportError(f"the file cannot be prepared for int8: {_first_line(error)}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:_MOST_CHARACTERS]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the tool's advice, which is not for users."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)

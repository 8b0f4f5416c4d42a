"""Strict reader: turn an uploaded ``.pt2`` file into a program without running any of its code.

``torch.export.load`` reaches pickle in several ways, loads native code, evaluates expression
strings and imports dotted names (docs/architecture/02-model-as-data.md). Here tensors are raw
bytes, the graph is JSON checked member by member, and call targets are looked up in a fixed table.
Symbolic sizes are only results of calls in the graph, and sample inputs are not opened.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor, fx

from secateur.engine.errors import ModelRejectedError
from secateur.engine.program.archive import Archive
from secateur.engine.program.batch import settle_batch
from secateur.engine.program.calls import GraphBuilder
from secateur.engine.program.document import Document
from secateur.engine.program.faults import check_faults
from secateur.engine.program.footprint import check_cost
from secateur.engine.program.functional import make_functional
from secateur.engine.program.limits import ModelLimits
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.precision import to_float32
from secateur.engine.program.program import InputSpec, Program, Role
from secateur.engine.program.shapes import propagate
from secateur.engine.program.stored import (
    Layout,
    StoredTensors,
    load_tensor,
    read_dtype,
    read_tensors,
)
from secateur.engine.program.structure import read_call, read_structure

OLDEST_SCHEMA = (8, 0)
NEWEST_SCHEMA = (8, 99)
_SYMBOL = re.compile(r"Symbol\('[a-z]\d{1,6}'(, (positive|integer)=True){0,2}\)|[a-z]\d{1,6}")
_TENSOR_KINDS = {
    "parameter": ("parameter_name", Role.PARAMETER),
    "buffer": ("buffer_name", Role.BUFFER),
    "tensor_constant": ("tensor_constant_name", Role.CONSTANT),
}


def read_program(path: Path, limits: ModelLimits | None = None) -> Program:
    """Return the program in the file at ``path``, as ``torch.export.save`` of torch 2.9+ wrote it.

    Raises:
        ModelRejectedError: The file is refused; the message names the entry and the reason.
        UnsupportedOpError: The graph calls an operator that is not in the vocabulary.
        ModelTooLargeError: The model exceeds a limit.
    """
    with Archive(path, limits or ModelLimits()) as archive:
        return read_archive(archive, limits or ModelLimits())


def read_archive(
    archive: Archive,
    limits: ModelLimits,
    load: Callable[[Layout, bytes], Tensor] = load_tensor,
) -> Program:
    """Return the program in an open archive; ``load`` builds each tensor from its bytes.

    Raises:
        ModelRejectedError: The file is refused; the message names the entry and the reason.
        UnsupportedOpError: The graph calls an operator that is not in the vocabulary.
        ModelTooLargeError: The model exceeds a limit.
    """
    if "byteorder" in archive and archive.read("byteorder") != b"little":
        raise ModelRejectedError("byteorder: only little-endian files are accepted")
    stored = read_tensors(archive, limits, load)
    model = Document.parse(archive.read("models/model.json"), "models/model.json")
    _check_version(model)
    program = _program(model["graph_module"], stored, limits)
    shapes = propagate(program)
    check_cost(program, shapes, limits)
    check_faults(program, shapes)
    if any(spec.shape[0] is not None for spec in program.inputs):
        return settle_batch(program, limits)
    return program


def _check_version(model: Document) -> None:
    version = model["schema_version"]
    found = (version["major"].integer(), version["minor"].integer())
    if not OLDEST_SCHEMA <= found <= NEWEST_SCHEMA:
        version.refuse(
            f"schema version {found[0]}.{found[1]} is not supported: export with torch 2.9 or newer"
        )
    if [kind.value for kind in model["verifiers"].list()] not in (["TRAINING"], ["ATEN"]):
        model["verifiers"].refuse("is not an inference-mode export of training IR")


def _program(module: Document, stored: StoredTensors, limits: ModelLimits) -> Program:
    graph = module["graph"]
    if graph.get("custom_obj_values") and graph["custom_obj_values"].value:
        graph["custom_obj_values"].refuse("custom objects are not accepted")
    builder = GraphBuilder(limits.graph_nodes)
    roles, inputs = _read_inputs(module, stored, builder)
    builder.add_calls(graph["nodes"])
    outputs = _read_outputs(module, builder)
    builder.graph.output(tuple(outputs))
    signature = _root_signature(module)
    tree = read_structure(signature["out_spec"])
    if tree.num_leaves != len(outputs):
        module["signature"].refuse(
            f"{len(outputs)} outputs, but the output structure has {tree.num_leaves}"
        )
    tensors = {name: stored.tensors[name] for name in roles}
    make_functional(builder.graph, tensors, inputs)
    call = read_call(signature, len(inputs))
    program = Program(builder.graph, tensors, roles, inputs, tree, call)
    try:
        ProgramModule(program, copy=False)
    except KeyError as error:  # such as "training"
        raise ModelRejectedError(f"a tensor has a name reserved by nn.Module: {error}") from error
    return to_float32(program)


def _read_inputs(
    module: Document, stored: StoredTensors, builder: GraphBuilder
) -> tuple[dict[str, Role], tuple[InputSpec, ...]]:
    roles: dict[str, Role] = {}
    inputs: list[InputSpec] = []
    values = module["graph"]["tensor_values"]
    for spec in module["signature"]["input_specs"].list():
        kind, body = spec.only()
        if kind == "user_input":
            name = body["arg"]["as_tensor"]["name"].string()
            inputs.append(_input_spec(name, values[name]))
            builder.add_input(name)
            continue
        if kind == "constant_input":
            argument = body["name"].string()
            given, fixed = body["value"].only()
            shown = "None" if given == "as_none" else repr(fixed.value)[:60]
            spec.refuse(
                f"the argument {argument[:60]!r} was fixed to {shown} by the export: leave it out "
                "of the example inputs if it has a default, or export a module whose forward sets "
                "it"
            )
        if kind not in _TENSOR_KINDS:
            spec.refuse(f"inputs of kind {kind!r} are not accepted")
        member, role = _TENSOR_KINDS[kind]
        target = body[member]
        canonical = stored.canonical.get(target.string())
        if canonical is None:
            target.refuse(f"{target.value!r} has no stored tensor")
        roles.setdefault(canonical, role)
        builder.add_tensor(body["arg"]["name"].string(), canonical)
    if not inputs:
        module["signature"].refuse("the model has no tensor inputs")
    return roles, tuple(inputs)


def _input_spec(name: str, meta: Document) -> InputSpec:
    sizes = meta["sizes"].list()
    dtype = read_dtype(meta["dtype"])
    if not sizes:
        meta.refuse(f"input {name!r} is a single number; inputs need a batch dimension")
    kind, batch = sizes[0].only()
    fixed = _fixed_size(name, sizes[0]) if kind == "as_int" else None
    if kind != "as_int" and not _SYMBOL.fullmatch(batch["expr_str"].string()):
        batch.refuse("the batch dimension must be a plain symbol")
    shape = [fixed, *(_fixed_size(name, size) for size in sizes[1:])]
    return InputSpec(name, tuple(shape), dtype)


def _fixed_size(name: str, size: Document) -> int:
    kind, value = size.only()
    if kind != "as_int":
        size.refuse(f"only the batch dimension of input {name!r} may be dynamic")
    return value.integer(1, 2**31)


def _read_outputs(module: Document, builder: GraphBuilder) -> list[Any]:
    outputs: list[Any] = []
    for spec in module["signature"]["output_specs"].list():
        kind, body = spec.only()
        if kind != "user_output":
            spec.refuse(f"outputs of kind {kind!r} are not accepted (the model changes its state)")
        outputs.append(builder.argument(body["arg"]))
    if not any(isinstance(output, fx.Node) for output in outputs):
        module["signature"].refuse("the model has no tensor outputs")
    return outputs


def _root_signature(module: Document) -> Document:
    for entry in module["module_call_graph"].list():
        if entry["fqn"].value == "":
            return entry["signature"]
    return module.refuse("has no signature of the whole model")

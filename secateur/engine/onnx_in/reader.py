"""Reader of ONNX files: turn an uploaded file into a program.

The file is checked (`secateur.core.onnx_files`), read (`file`), run node by node under
``torch.export`` (`importer`), and the program is compared with ONNX Runtime (`admission`).
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from onnx import ModelProto
from torch import fx

from secateur.core.onnx_files import OnnxError, parse_onnx
from secateur.engine.errors import EngineError, ModelRejectedError, ModelTooLargeError
from secateur.engine.onnx_in.admission import admit
from secateur.engine.onnx_in.beside import read_bytes
from secateur.engine.onnx_in.call import shown
from secateur.engine.onnx_in.file import OnnxFile, parse
from secateur.engine.onnx_in.flat import read_within_samples
from secateur.engine.onnx_in.importer import PREFIX, REFUSALS, Importer
from secateur.engine.onnx_in.inputs import Shape
from secateur.engine.onnx_in.names import argument_names, weight_names
from secateur.engine.onnx_in.norms import restore_norms
from secateur.engine.program.batch import with_its_batch
from secateur.engine.program.exported import from_exported
from secateur.engine.program.faults import check_faults
from secateur.engine.program.folded import folded_convolutions
from secateur.engine.program.footprint import check_cost
from secateur.engine.program.limits import ModelLimits
from secateur.engine.program.program import OnnxOrigin, Program, Role
from secateur.engine.program.shapes import ANALYSIS_BATCH, propagate

_HINT = (
    "If a node is named and the network ends before it, cut the file there: onnx.utils."
    "extract_model. Otherwise export the network again, best from PyTorch."
)
_NODES_A_CALL = 20  # nodes that exporters write for one call of a model's graph, at most


def read_onnx(
    path: Path,
    limits: ModelLimits | None = None,
    shapes: tuple[Shape, ...] | None = None,
    *,
    has_files_beside: bool = False,
) -> Program:
    """Return the program of an ONNX file, proved equal to it in ONNX Runtime.

    Args:
        path: The file, or a zip with it and the files of its weights.
        limits: Limits on its size and cost.
        shapes: Shapes of the inputs with the batch first, for a file that takes samples of any
            size; None: those in the file.
        has_files_beside: Whether weights may be in other files of its folder.

    Raises:
        ModelRejectedError: The file is refused; the message names the node and its operator.
        UnsupportedOpError: An operator cannot be imported.
        ModelTooLargeError: The model exceeds a limit.
    """
    try:
        return _read(path, limits or ModelLimits(), shapes, has_files_beside=has_files_beside)
    except ModelTooLargeError:
        raise
    except ModelRejectedError as error:
        if not error.hint:
            raise type(error)(str(error), hint=_HINT) from error
        raise


def _read(
    path: Path, limits: ModelLimits, shapes: tuple[Shape, ...] | None, *, has_files_beside: bool
) -> Program:
    data = read_bytes(path, limits, has_files_beside=has_files_beside)
    try:
        model = parse_onnx(data, _NODES_A_CALL * limits.graph_nodes, limits.tensor_elements)
    except OnnxError as error:
        raise ModelRejectedError(f"the ONNX file {error}") from error
    file = parse(model, limits, shapes)
    if file.batch_size is None:
        return _imported(file, model, limits)
    try:
        return _imported(file, model, limits)
    except ModelTooLargeError:
        raise
    except ModelRejectedError as error:
        try:
            program = _imported(file, model, limits, is_free=False)
        except ModelRejectedError:
            raise error from None
        return with_its_batch(program, error)


def _imported(
    file: OnnxFile, model: ModelProto, limits: ModelLimits, *, is_free: bool = True
) -> Program:
    """Return the admitted program of a file, with a dynamic batch if ``is_free``."""
    imported = file if is_free else replace(file, batch_size=None)
    importer = Importer(imported)
    program = _program(importer, file, is_free=is_free)
    if importer.notes.has_late:  # tensors among the sizes: give them names and roles
        importer = Importer(imported, importer.notes.computed)
        program = _program(importer, file, is_free=is_free)
    values = propagate(program)
    check_cost(program, values, limits)
    if file.batch_size is not None:  # `admit` computes a whole batch
        check_cost(program, propagate(program, file.batch_size), limits)
    check_faults(program, values)
    notes = admit(program, importer, file, model)
    origin = OnnxOrigin(
        file.output_names, file.opset, file.metadata, (*_notes(program, file), *notes)
    )
    return replace(program, origin=origin)


def _program(importer: Importer, file: OnnxFile, *, is_free: bool) -> Program:
    size = ANALYSIS_BATCH if is_free else file.batch_size
    inputs = tuple(
        torch.empty([size, *each.shape[1:]], dtype=each.dtype)  # type: ignore[list-item]  # sizes are fixed
        for each in file.inputs
    )
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        try:
            sizes = {0: torch.export.Dim("batch", min=1)} if is_free else {}
            dynamic = (tuple(sizes for _ in inputs),)  # forward takes *inputs: one tuple
            exported = torch.export.export(importer.eval(), inputs, dynamic_shapes=dynamic)
        except EngineError:
            raise
        except REFUSALS as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise ModelRejectedError(f"the ONNX file cannot be exported: {reason}") from error
    _note_nodes(exported.graph, file)
    program = from_exported(exported)
    if is_free:
        program = read_within_samples(program)
    return _in_the_files_words(restore_norms(program), importer, file)


def _note_nodes(graph: fx.Graph, file: OnnxFile) -> None:
    """Write the node of the file that each call came from, in place of a line of `importer`."""
    for call in graph.nodes:
        modules: Mapping[str, Any] = call.meta.get("nn_module_stack") or {}
        names = [str(path) for path, _ in modules.values() if str(path).startswith(PREFIX)]
        if names:
            node = file.nodes[int(names[-1].removeprefix(PREFIX))][0]
            said = f"{shown(node.name)[1:-1]} ({node.operator})"
            call.meta["stack_trace"] = f'File "model.onnx", line {names[-1][1:]}, in {said}\n'


def _in_the_files_words(program: Program, importer: Importer, file: OnnxFile) -> Program:
    """Return the program with the file's names of tensors, inputs and outputs."""
    for node in list(program.graph.nodes):
        if node.op == "get_attr" and not node.users:
            program.graph.erase_node(node)
    read = {str(node.target) for node in program.graph.nodes if node.op == "get_attr"}
    by_buffer = {buffer: name for name, buffer in importer.buffers_by_name.items()}
    in_file = {
        buffer: by_buffer.get(buffer, buffer) for buffer in program.tensors if buffer in read
    }
    chosen = weight_names(in_file.values())
    names = {buffer: chosen[name] for buffer, name in in_file.items()}
    for node in program.graph.nodes:
        if node.op == "get_attr":
            node.target = names[str(node.target)]
    return replace(
        program,
        tensors={names[name]: t for name, t in program.tensors.items() if name in names},
        roles={
            names[buffer]: importer.notes.roles.get(by_buffer.get(buffer, ""), Role.CONSTANT)
            for buffer in names
        },
        own_types={names[n]: dtype for n, dtype in program.own_types.items() if n in names},
        inputs=tuple(
            replace(spec, name=given.name)
            for spec, given in zip(program.inputs, file.inputs, strict=True)
        ),
        call=replace(program.call, names=argument_names(each.name for each in file.inputs)),
    )


def _notes(program: Program, file: OnnxFile) -> tuple[str, ...]:
    found = []
    if file.batch_size is not None and program.batch_size is None:
        made_for = "one sample" if file.batch_size == 1 else f"{file.batch_size} samples"
        found.append(
            f"the ONNX file was made for {made_for}; the sizes in it were changed to take any "
            "number"
        )
    if num_folded := len(folded_convolutions(program)):
        found.append(
            f"{num_folded} convolutions have no BatchNorm: exporters usually fold it into them. It "
            "is put back for retraining, and folded again"
        )
    return tuple(found)

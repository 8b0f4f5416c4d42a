"""Write an ONNX model again at an older opset, for runtimes that read no newer one.

`onnx.version_converter` has no way down for Add, so the rules are ours (`opset_rules`). A node is
kept if the older operator has its inputs, types and attributes. It may still mean something else,
so every converted file is run beside the one that it was made from.
"""

import contextlib

import onnx
from onnx import AttributeProto, ModelProto, NodeProto, helper
from onnx.defs import OpSchema, SchemaError, get_schema

from secateur.engine.errors import ExportError
from secateur.engine.export.opset_rules import RULES, Rewriting

OLDEST_OPSET = 11
_OWN_DOMAINS = {"", "ai.onnx"}


def lower_opset(model: ModelProto, opset: int) -> ModelProto:
    """Return a model at an older opset; the model itself if its opset is not newer.

    Args:
        model: A checked model of ONNX's own operators, without subgraphs.
        opset: The opset, `OLDEST_OPSET` or newer.

    Raises:
        ExportError: An operator cannot be expressed; the message names it and its oldest opset.
    """
    own = own_opset(model)
    if own <= opset:
        return model
    rewriting = Rewriting.of(model, opset)
    nodes: list[NodeProto] = []
    missing: dict[str, int] = {}
    for node in model.graph.node:
        found = _lower(node, rewriting, own)
        if found is None:
            oldest = _oldest(node, model, own, opset)
            missing[node.op_type] = max(oldest, missing.get(node.op_type, 0))
        else:
            nodes += found
    if missing:
        names = ", ".join(f"{name} (opset {at} or newer)" for name, at in sorted(missing.items()))
        raise ExportError(
            f"opset {opset} cannot express the network: it has {names}",
            hint=f"Set export.opset to {max(missing.values())} or newer.",
        )
    return _assemble(model, nodes, rewriting)


def own_opset(model: ModelProto) -> int:
    """Return the opset of a model's operators."""
    return next(int(each.version) for each in model.opset_import if each.domain in _OWN_DOMAINS)


def _assemble(model: ModelProto, nodes: list[NodeProto], rewriting: Rewriting) -> ModelProto:
    lowered = ModelProto()
    lowered.CopyFrom(model)
    del lowered.graph.node[:]
    lowered.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    used |= {value.name for value in model.graph.output}
    stored = [each for each in (*model.graph.initializer, *rewriting.added) if each.name in used]
    del lowered.graph.initializer[:]
    lowered.graph.initializer.extend(stored)
    del lowered.graph.value_info[:]
    del lowered.opset_import[:]
    lowered.opset_import.append(helper.make_opsetid("", rewriting.opset))
    lowered.ir_version = helper.find_min_ir_version_for(lowered.opset_import)
    try:
        onnx.checker.check_model(lowered, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        message = f"the ONNX file at opset {rewriting.opset} is not valid: {reason}"
        raise ExportError(message) from error
    return lowered


def _lower(node: NodeProto, rewriting: Rewriting, own: int) -> list[NodeProto] | None:
    """Return nodes that compute the same at the older opset; None if there are none."""
    if node.domain not in _OWN_DOMAINS:
        return None
    if any(each.type in {AttributeProto.GRAPH, AttributeProto.GRAPHS} for each in node.attribute):
        return None
    new, old = get_schema(node.op_type, own), None
    with contextlib.suppress(SchemaError):  # a newer operator
        old = get_schema(node.op_type, rewriting.opset)
    if old is not None and old.since_version == new.since_version:
        return [node]
    rule = RULES.get(node.op_type)
    if rule is not None:
        return rule(node, rewriting)
    return None if old is None else _kept(node, new, old, rewriting)


def _kept(
    node: NodeProto, new: OpSchema, old: OpSchema, rewriting: Rewriting
) -> list[NodeProto] | None:
    """Return the node itself, without attributes at their defaults, if the old operator has it."""
    if len(node.input) > old.max_input or len(node.output) > old.max_output:
        return None
    found = NodeProto()
    found.CopyFrom(node)
    del found.attribute[:]
    for each in node.attribute:
        if each.name in old.attributes:
            found.attribute.append(each)
        elif helper.get_attribute_value(each) != _default(new, each.name):
            return None
    allowed = {each.type_param_str: each.allowed_type_strs for each in old.type_constraints}
    for index, name in enumerate(node.input):
        # The last formal parameter of a variadic operator stands for all further inputs.
        formal = old.inputs[min(index, len(old.inputs) - 1)].type_str
        kind = rewriting.types.get(name)
        if kind is not None and kind not in allowed.get(formal, [formal]):
            return None
    return [found]


def _default(schema: OpSchema, name: str) -> object:
    return helper.get_attribute_value(schema.attributes[name].default_value)


def _oldest(node: NodeProto, model: ModelProto, own: int, refused: int) -> int:
    """Return the oldest opset that can express a node that ``refused`` cannot."""
    for opset in range(refused + 1, own):
        if _lower(node, Rewriting.of(model, opset), own) is not None:
            return opset
    return own

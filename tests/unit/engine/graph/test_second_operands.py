"""Rules handle every tensor argument: its channels are united, pruned alike, or pinned.

Each operator gets two values with prunable channels, then one such value and one of a fixed size.
Half of all prunable groups are removed. The smaller network must have consistent shapes and equal
its masked twin.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import fx
from torch.utils import _pytree as pytree

from secateur.engine.errors import EquivalenceError
from secateur.engine.graph import analyse
from secateur.engine.graph.propagate import Output, Site
from secateur.engine.graph.rules import RULES
from secateur.engine.plan import make_plan
from secateur.engine.program.program import InputSpec, Program, Role
from secateur.engine.program.structure import CallSignature
from secateur.engine.surgery import certify, compact, mask_program

aten = torch.ops.aten
WIDTH = SIZE = 8
Build = Callable[[Any, Any], Any]


def _vector(x: Any) -> Any:  # a proxy
    return aten.mean.dim(x, [0, 2, 3])


def _matrix(x: Any) -> Any:  # a proxy
    """Return a weight (C, W) that is computed from other channels."""
    return aten.mean.dim(x, [0, 2])


def _rows(x: Any) -> Any:  # a proxy
    return aten.mean.dim(x, [2, 3])


def _cube(x: Any) -> Any:  # a proxy
    return aten.mean.dim(x, [3])


def _kernel(x: Any, dims: int) -> Any:  # a proxy
    return aten.reshape.default(_matrix(x), [WIDTH, WIDTH, *[1] * dims])


def _positive(x: Any) -> Any:  # a proxy
    return aten.add.Tensor(aten.sigmoid.default(x), 1.0)


def _index(x: Any) -> Any:  # a proxy
    """Return one integer per channel."""
    return aten.to.dtype(aten.clamp.default(_vector(x), 0, 1), torch.int64)


def _volume(x: Any) -> Any:  # a proxy
    return aten.unsqueeze.default(x, 2)


def _both(name: str, overload: str = "Tensor") -> Build:
    target = getattr(getattr(aten, name), overload)
    return lambda a, b: aten.to.dtype(target(_positive(a), _positive(b)), torch.float32)


def _logical(name: str, overload: str = "default") -> Build:
    target = getattr(getattr(aten, name), overload)
    return lambda a, b: aten.to.dtype(
        target(aten.gt.Scalar(a, 0), aten.gt.Scalar(b, 0)), torch.float32
    )


def _attention(a: Any, b: Any) -> Any:  # proxies
    """Return attention with eight heads and a mask per head."""
    return aten.scaled_dot_product_attention.default(a, a, a, b)


def _pooled(a: Any) -> Any:  # a proxy
    return aten.max_pool2d_with_indices.default(a, [2, 2])


def _unpooled(a: Any, b: Any) -> Any:  # proxies
    return aten.max_unpool2d.default(_pooled(a)[0], _pooled(b)[1], [SIZE, SIZE])


def _unpooled_volume(a: Any, b: Any) -> Any:  # proxies
    values, places = (
        aten.max_pool3d_with_indices.default(_volume(x), [1, 2, 2])[number]
        for number, x in enumerate((a, b))
    )
    return aten.max_unpool3d.default(values, places, [1, SIZE, SIZE], [1, 2, 2], [0, 0, 0])


def _weights(b: Any, num_gates: int) -> list[Any]:
    rows = aten.repeat.default(_matrix(b), [num_gates, 1])
    bias = aten.repeat.default(_vector(b), [num_gates])
    return [rows, rows, bias, bias]


def _recurrent(name: str, num_gates: int) -> Build:
    def build(a: Any, b: Any) -> Any:  # proxies
        x, weights = aten.transpose.int(_cube(a), 1, 2), _weights(b, num_gates)
        state = aten.new_zeros.default(x, [1, SIZE, WIDTH])
        given = [state, state] if name == "lstm" else state
        arguments = (given, weights, True, 1, 0.0, False, False, False)
        return getattr(aten, name).input(x, *arguments)[0]

    return build


def _cell(name: str, num_gates: int) -> Build:
    def build(a: Any, b: Any) -> Any:  # proxies
        state = _rows(b)
        given = [state, state] if name == "lstm" else state
        result = getattr(aten, f"{name}_cell").default(_rows(a), given, *_weights(b, num_gates))
        return result[0] if name == "lstm" else result

    return build


CALLS: dict[str, Build] = {
    **{name: _both(name) for name in "add sub mul div rsub fmod remainder".split()},
    **{name: _both(name) for name in "eq ne lt le gt ge clamp_min clamp_max lerp".split()},
    **{name: _both(name, "default") for name in "atan2 maximum minimum floor_divide".split()},
    **{name: _both(name, "other") for name in ("max", "min")},
    **{name: _logical(name) for name in "logical_and logical_or logical_xor".split()},
    **{name: _logical(name, "Tensor") for name in "bitwise_and bitwise_or".split()},
    "pow": _both("pow", "Tensor_Tensor"),
    "lerp": lambda a, b: aten.lerp.Tensor(a, a, b),
    "clamp": aten.clamp.Tensor,
    "addcmul": lambda a, b: aten.addcmul.default(a, a, b),
    "addcdiv": lambda a, b: aten.addcdiv.default(a, a, _positive(b)),
    "where": lambda a, b: aten.where.self(aten.gt.Scalar(b, 0), a, a),
    "masked_fill": lambda a, b: aten.masked_fill.Scalar(a, aten.gt.Scalar(b, 0), 0.0),
    "prelu": lambda a, b: aten.prelu.default(a, _vector(b)),
    "_prelu_kernel": aten._prelu_kernel.default,
    "batch_norm": lambda a, b: aten.batch_norm.default(
        a, _vector(b), _vector(b), _vector(b), _positive(_vector(b)), False, 0.1, 1e-5, False
    ),
    "instance_norm": lambda a, b: aten.instance_norm.default(
        a, _vector(b), _vector(b), None, None, True, 0.1, 1e-5, False
    ),
    "group_norm": lambda a, b: aten.group_norm.default(a, 2, _vector(b), _vector(b)),
    "layer_norm": lambda a, b: aten.layer_norm.default(_rows(a), [WIDTH], _vector(b), _vector(b)),
    "rms_norm": lambda a, b: aten.rms_norm.default(_rows(a), [WIDTH], _vector(b)),
    "linear": lambda a, b: aten.linear.default(_rows(a), _matrix(b), _vector(b)),
    "matmul": lambda a, b: aten.matmul.default(_cube(a), _cube(b)),
    "bmm": lambda a, b: aten.bmm.default(_cube(a), _cube(b)),
    "mm": lambda a, b: aten.mm.default(_rows(a), _matrix(b)),
    "addmm": lambda a, b: aten.addmm.default(_vector(b), _rows(a), _matrix(b)),
    "baddbmm": lambda a, b: aten.baddbmm.default(_cube(b), _cube(a), _cube(b)),
    "conv1d": lambda a, b: aten.conv1d.default(_cube(a), _kernel(b, 1), _vector(b)),
    "conv2d": lambda a, b: aten.conv2d.default(a, _kernel(b, 2), _vector(b)),
    "conv3d": lambda a, b: aten.conv3d.default(_volume(a), _kernel(b, 3), _vector(b)),
    "convolution": lambda a, b: aten.convolution.default(
        a, _kernel(b, 2), _vector(b), [1, 1], [0, 0], [1, 1], False, [0, 0], 1
    ),
    "conv_transpose1d": lambda a, b: aten.conv_transpose1d.default(
        _cube(a), _kernel(b, 1), _vector(b)
    ),
    "conv_transpose2d": lambda a, b: aten.conv_transpose2d.input(a, _kernel(b, 2), _vector(b)),
    "conv_transpose3d": lambda a, b: aten.conv_transpose3d.input(
        _volume(a), _kernel(b, 3), _vector(b)
    ),
    "scaled_dot_product_attention": _attention,
    "grid_sampler": lambda a, b: aten.grid_sampler.default(
        a, aten.slice.Tensor(aten.permute.default(b, [0, 2, 1, 3]), 3, 0, 2), 0, 0, False
    ),
    "index": lambda a, b: aten.index.Tensor(a, [None, None, _index(b)]),
    "index_select": lambda a, b: aten.index_select.default(a, 2, _index(b)),
    "gather": lambda a, b: aten.gather.default(a, 3, aten.argsort.default(b, 3)),
    "expand_as": lambda a, b: aten.expand_as.default(aten.mean.dim(a, [1], True), b),
    "view_as": aten.view_as.default,
    "reshape_as": aten.reshape_as.default,
    "type_as": aten.type_as.default,
    "copy": aten.copy.default,
    "fill": lambda a, b: aten.fill.Tensor(a, aten.mean.default(b)),
    "slice_scatter": lambda a, b: aten.slice_scatter.default(
        a, aten.slice.Tensor(b, 1, 0, 4), 1, 2, 6
    ),
    "select_scatter": lambda a, b: aten.select_scatter.default(a, aten.select.int(b, 2, 0), 2, 1),
    "to": aten.to.other,
    "mv": lambda a, b: aten.mul.Tensor(
        a, aten.reshape.default(aten.mv.default(_rows(a), _vector(b)), [-1, 1, 1, 1])
    ),
    **{
        name: lambda a, b, name=name: aten.mul.Tensor(
            a, getattr(aten, name).default(_vector(a), _vector(b))
        )
        for name in ("dot", "vdot")
    },
    "tensordot": lambda a, b: aten.tensordot.default(_rows(a), _matrix(b), [1], [0]),
    "bilinear": lambda a, b: aten.bilinear.default(
        _rows(a), _rows(b), aten.mean.dim(b, [0]), _vector(b)
    ),
    "cosine_similarity": lambda a, b: aten.mul.Tensor(
        a, aten.unsqueeze.default(aten.cosine_similarity.default(a, b), 1)
    ),
    "pairwise_distance": lambda a, b: aten.mul.Tensor(
        a, aten.reshape.default(aten.pairwise_distance.default(_rows(a), _rows(b)), [-1, 1, 1, 1])
    ),
    **{
        name: lambda a, b, name=name: getattr(aten, name).default(
            aten.slice.Tensor(a, 2, 0, 3), aten.slice.Tensor(b, 2, 0, 3), dim=2
        )
        for name in ("cross", "linalg_cross")
    },
    "cdist": lambda a, b: aten.cdist.default(_cube(a), _cube(b)),
    "diff": lambda a, b: aten.diff.default(a, 1, 2, aten.slice.Tensor(b, 2, 0, 1)),
    "bucketize": lambda a, b: aten.to.dtype(
        aten.bucketize.Tensor(a, aten.sort.default(_vector(b))[0]), torch.float32
    ),
    **{
        name: lambda a, b, name=name: aten.add.Tensor(
            a, aten.mean.default(getattr(aten, name).default(a, aten.sigmoid.default(_vector(b))))
        )
        for name in ("quantile", "nanquantile")
    },
    "index_put": lambda a, b: aten.index_put.default(
        a, [aten.gt.Scalar(b, 0)], aten.mean.default(b)
    ),
    "max_unpool2d": _unpooled,
    "max_unpool3d": _unpooled_volume,
    "embedding": lambda a, b: aten.embedding.default(_matrix(a), _index(b)),
    **{name: _recurrent(name, gates) for name, gates in (("lstm", 4), ("gru", 3))},
    **{name: _recurrent(name, 1) for name in ("rnn_tanh", "rnn_relu")},
    **{f"{name}_cell": _cell(name, gates) for name, gates in (("lstm", 4), ("gru", 3))},
    **{f"{name}_cell": _cell(name, 1) for name in ("rnn_tanh", "rnn_relu")},
}
# These take a list, or a number that is stored in a tensor.
ELSEWHERE = {"narrow", "repeat_interleave", "tensor_split"}


def program_of(build: Build, *, is_fixed: bool) -> Program:
    """Return a program of two convolutions, a call on their outputs, and a linear layer."""
    graph, generator = fx.Graph(), torch.Generator().manual_seed(0)
    tracer = fx.proxy.GraphAppendingTracer(graph)
    tensors = {
        f"{name}.weight": torch.randn(WIDTH, 3, 3, 3, generator=generator) / 3 for name in "ab"
    } | {"head.weight": torch.randn(2, WIDTH, generator=generator)}
    x = graph.create_node("placeholder", "x0")
    stored = {name: fx.Proxy(graph.get_attr(name), tracer) for name in tensors}
    made = [
        aten.conv2d.default(fx.Proxy(x, tracer), stored[f"{name}.weight"], None, [1, 1], [1, 1])
        for name in "ab"
    ]
    if is_fixed:
        ones = fx.Proxy(graph.call_function(aten.ones.default, ([1, WIDTH, SIZE, SIZE],)), tracer)
        made[1] = aten.add.Tensor(aten.mean.dim(made[1], [1], True), ones)
    y = aten.movedim.int(build(*made), 1, -1)
    graph.output((aten.linear.default(y, stored["head.weight"]).node,))
    roles = dict.fromkeys(tensors, Role.PARAMETER)
    inputs = (InputSpec("x", (None, 3, SIZE, SIZE), torch.float32),)
    call = CallSignature(("x",), pytree.tree_structure(((0,), {})))
    return Program(graph, tensors, roles, inputs, pytree.tree_structure([0]), call)


@pytest.mark.parametrize("is_fixed", [False, True], ids=["a-channel", "a-fixed-size"])
@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_second_operand_is_pruned_alike_or_pinned(name: str, *, is_fixed: bool) -> None:
    program = program_of(CALLS[name], is_fixed=is_fixed)
    found = analyse(program)
    keeps = {f.name: torch.arange(f.num_groups) % 2 == 1 for f in found.families}
    plan = make_plan(program, found, keeps)
    smaller = compact(program, found, plan)
    inexact = tuple(op for family in found.families for op in family.inexact_ops)
    certify(mask_program(program, plan), smaller, [program.example_inputs(3)], inexact)


def test_every_operator_with_two_tensors_is_tested() -> None:
    assert {name for name in RULES if _takes_two(name)} == CALLS.keys() | ELSEWHERE


def _takes_two(name: str) -> bool:
    packet = getattr(aten, name, None)
    schemas = (
        [getattr(packet, o)._schema for o in packet.overloads()] if packet else []
    )  # no public name
    return any(
        sum("Tensor" in str(a.type) and not a.is_out for a in schema.arguments) > 1
        and "List[Tensor]" not in str(schema.returns)
        and "hacked" not in schema.overload_name
        for schema in schemas
        if not any(a.is_out for a in schema.arguments)
    )


def test_arguments_that_a_rule_does_not_follow_are_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(site: Site) -> Output:
        return site.labels_of(site.node.args[0])

    monkeypatch.setitem(RULES, "atan2", careless)
    found = analyse(program_of(CALLS["atan2"], is_fixed=False))
    assert [(f.tensor, f.pin.reason) for f in found.frozen if f.tensor == "b.weight"] == [
        ("b.weight", "is an argument of atan2 that no rule follows")
    ]


def test_inconsistent_shapes_are_reported_as_a_defect_of_secateur(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(site: Site) -> Output:
        site.followed.update(site.node.all_input_nodes)
        return site.labels_of(site.node.args[0])

    monkeypatch.setitem(RULES, "atan2", wrong)
    program = program_of(CALLS["atan2"], is_fixed=False)
    found = analyse(program)
    plan = make_plan(program, found, {"a.weight": torch.arange(WIDTH) % 2 == 1})
    with pytest.raises(EquivalenceError, match=r"a defect of Secateur, not of your model"):
        compact(program, found, plan)

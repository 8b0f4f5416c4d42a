"""Layers of a program as shapes of their widths, and the widths at which they are measured."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import fx

from secateur.engine.graph.analysis import Analysis
from secateur.engine.graph.cost import Count, Counts, Orders, Widths
from secateur.engine.latency.timer import LayerShape
from secateur.engine.program.functional import op_name
from secateur.engine.program.module import resolve
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import num_analysed

_CONVOLUTIONS = {
    **{f"conv{d}d": "conv" for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": "conv_transpose" for d in (1, 2, 3)},
}
_MAX_CANDIDATES = 16  # measured widths per family
_FINEST_STEP = 4


@dataclass(frozen=True)
class Layer:
    """A layer of a program: the families that change it, and its shape at given widths."""

    families: tuple[str, ...]
    at: Callable[[Widths], LayerShape]


def is_layer(node: fx.Node) -> bool:
    """Return whether a node is a convolution or a linear layer, which are measured one by one."""
    return op_name(node.target) in _CONVOLUTIONS or op_name(node.target) == "linear"


def find_layers(
    program: Program, analysis: Analysis, orders: Orders, batch_size: int = 1
) -> list[Layer]:
    """Return the convolutions and linear layers; ``orders`` as in `CostModel.macs_by_width`."""
    counts = Counts(analysis, orders)
    found = []
    for node in program.graph.nodes:
        if node.op == "call_function" and is_layer(node):
            if op_name(node.target) == "linear":
                num_samples = num_analysed(program)
                found.append(_linear(node, analysis, counts, batch_size, num_samples))
            else:
                found.append(_convolution(node, analysis, counts, batch_size))
    return found


def candidate_widths(analysis: Analysis, name: str) -> list[int]:
    """Return the widths at which a family is measured, descending from full width.

    The step is a power of two where possible, like the channel blocks of kernels.
    """
    family = analysis.family(name)
    num_groups, per_group = family.num_groups, family.producers()[0].index_GK.shape[1]
    step = _FINEST_STEP
    while num_groups * per_group > step * _MAX_CANDIDATES:
        step *= 2
    step = max(1, step // per_group)
    return [num_groups, *range((num_groups - 1) // step * step, 0, -step)]


def _convolution(node: fx.Node, analysis: Analysis, counts: Counts, batch_size: int) -> Layer:
    x, weight = node.args[0], node.args[1]
    assert isinstance(x, fx.Node)  # noqa: S101
    assert isinstance(weight, fx.Node)  # noqa: S101
    shapes = analysis.shapes
    space = tuple(shapes[x].shape[2:])
    kernel = tuple(shapes[weight].shape[2:])
    kind = _CONVOLUTIONS[op_name(node.target)]
    options = _window(node, shapes, len(space), kernel)
    groups = int(options.pop("groups"))
    in_channels, out_channels = counts.of_value(x, 1), counts.of_value(node, 1)
    is_depthwise = groups > 1 and groups == shapes[x].shape[1]

    def at(widths: Widths) -> LayerShape:
        num_in = in_channels.at(widths)
        return LayerShape(
            kind,  # type: ignore[arg-type]
            batch_size,
            num_in,
            out_channels.at(widths),
            num_in if is_depthwise else groups,
            space,
            kernel,
            **options,
        )

    return Layer(_families(in_channels, out_channels), at)


def _linear(
    node: fx.Node, analysis: Analysis, counts: Counts, batch_size: int, num_samples: int
) -> Layer:
    x = node.args[0]
    assert isinstance(x, fx.Node)  # noqa: S101
    sizes = analysis.shapes[x].shape
    rows = max(1, prod(sizes[:-1]) // num_samples)
    last = len(sizes) - 1
    in_channels, out_channels = counts.of_value(x, last), counts.of_value(node, last)

    def at(widths: Widths) -> LayerShape:
        num_in, num_out = in_channels.at(widths), out_channels.at(widths)
        return LayerShape("linear", batch_size, num_in, num_out, space=(rows,))

    return Layer(_families(in_channels, out_channels), at)


def _families(*counts: Count) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for count in counts for name in count.families))


def _window(
    node: fx.Node, shapes: Mapping[fx.Node, Any], rank: int, kernel: tuple[int, ...]
) -> dict[str, Any]:
    """Return stride, padding, dilation and groups of a convolution as numbers."""
    schema = node.target._schema  # type: ignore[union-attr]  # noqa: SLF001
    names = [argument.name for argument in schema.arguments]
    given = dict(zip(names, node.args, strict=False)) | node.kwargs
    found: dict[str, Any] = {"groups": resolve(given.get("groups", 1), shapes)}  # type: ignore[arg-type]
    for name, default in (("stride", 1), ("padding", 0), ("dilation", 1)):
        value = resolve(given.get(name, default), shapes)  # type: ignore[arg-type]
        found[name] = value
    if found["padding"] == "same":
        dilation = _each(found["dilation"], rank)
        found["padding"] = [gap * (k - 1) // 2 for gap, k in zip(dilation, kernel, strict=True)]
    elif isinstance(found["padding"], str):
        found["padding"] = 0
    for name in ("stride", "padding", "dilation"):
        found[name] = _each(found[name], rank)
    return found


def _each(value: int | list[int], rank: int) -> tuple[int, ...]:
    values = [value] if isinstance(value, int) else list(value)
    return tuple(values) if len(values) == rank else (values[0],) * rank

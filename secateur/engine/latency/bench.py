"""Layers and widths for a device to measure, as JSON that ``secateur_bench.py`` reads.

A family is measured with all others at full width, as `LatencyModel.efficient_widths` asks. Pairs
of narrower widths are interpolated (`table`): all pairs would take hours on a small board.
"""

import hashlib
import json
from typing import Any

from secateur.engine.graph.analysis import Analysis
from secateur.engine.latency.layers import candidate_widths, find_layers
from secateur.engine.latency.timer import LayerShape, affordable
from secateur.engine.program.program import Program

_VERSION = 1
_ID_CHARACTERS = 16


def bench_of(program: Program, analysis: Analysis) -> dict[str, Any]:
    """Return the layers of a program to measure, alike ones together, each at several widths.

    Its ``id`` depends on the layers alone: networks that differ only in their weights share it.
    """
    entries: dict[str, dict[str, Any]] = {}
    for shape in shapes_to_measure(program, analysis):
        entry = _entry(shape)
        found = entries.setdefault(json.dumps(entry), {**entry, "widths": []})
        pair = [shape.in_channels, shape.out_channels]
        if pair not in found["widths"]:
            found["widths"].append(pair)
    layers = list(entries.values())
    digest = hashlib.sha256(json.dumps(layers, sort_keys=True).encode()).hexdigest()
    return {"version": _VERSION, "id": digest[:_ID_CHARACTERS], "layers": layers}


def shapes_to_measure(program: Program, analysis: Analysis) -> list[LayerShape]:
    """Return each layer at full width, and at every candidate width of each of its families."""
    candidates = {f.name: candidate_widths(analysis, f.name) for f in analysis.families}
    shapes: dict[LayerShape, None] = {}
    for layer in find_layers(program, analysis, {}):
        points = [{name: width} for name in layer.families for width in candidates[name]]
        shapes.update(dict.fromkeys(affordable(layer.at(point)) for point in ({}, *points)))
    return list(shapes)


def _entry(shape: LayerShape) -> dict[str, Any]:
    is_depthwise = 1 < shape.groups == shape.in_channels
    return {
        "kind": shape.kind,
        "groups": "depthwise" if is_depthwise else shape.groups,
        "space": list(shape.space),
        "kernel": list(shape.kernel),
        "stride": list(shape.stride),
        "padding": list(shape.padding),
        "dilation": list(shape.dilation),
    }

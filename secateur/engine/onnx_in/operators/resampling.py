"""Resampling of images."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from secateur.engine.onnx_in.call import Call, Function, aten, static_shape
from secateur.engine.onnx_in.operators.resampling_matrix import nearest_matrix, smooth_matrix

_aten = torch.ops.aten
_HALF_PIXEL = {"half_pixel", "pytorch_half_pixel"}
_LINEAR = {1: "upsample_linear1d", 2: "upsample_bilinear2d", 3: "upsample_trilinear3d"}


def resize(call: Call) -> Tensor:
    """Resize and Upsample, over the spatial dimensions."""
    x = call.tensor(0)
    space = x.dim() - 2
    if space not in _LINEAR:
        call.refuse(f"takes an input of rank {x.dim()}; it must be 3, 4 or 5")
    given = static_shape(call, x, 2)
    sizes, scales = _target(call, space, given)
    if sizes == given and scales is None:
        return x
    mode = call.attribute("mode", "nearest")
    if mode in {"nearest", "nn"}:
        return _nearest(call, x, sizes, scales)
    if mode not in {"linear", "cubic"}:
        call.refuse(f"has mode {mode!r}, which is not supported")
    how, target = _coordinates(call), None if scales else sizes
    is_plain = not call.attribute("antialias", 0) and how in {*_HALF_PIXEL, "align_corners"}
    aligned = how == "align_corners"
    if is_plain and mode == "linear":
        return aten(getattr(_aten, _LINEAR[space]).vec, x, target, aligned, scales)
    is_usual = call.attribute("cubic_coeff_a", _CUBIC) == _CUBIC
    is_usual &= not call.attribute("exclude_outside", 0)
    if is_plain and is_usual and mode == "cubic" and space == 2:  # noqa: PLR2004  # images
        return aten(_aten.upsample_bicubic2d.vec, x, target, aligned, scales)
    cubic = float(call.attribute("cubic_coeff_a", _CUBIC)) if mode == "cubic" else None
    outside, antialias = (
        bool(call.attribute(name, 0)) for name in ("exclude_outside", "antialias")
    )
    return _by_matrices(
        call,
        x,
        sizes,
        scales,
        lambda old, new, scale: smooth_matrix(
            old, new, scale, how, cubic=cubic, antialias=antialias, exclude_outside=outside
        ),
    )


def _by_matrices(
    call: Call,
    x: Tensor,
    sizes: list[int],
    scales: list[float] | None,
    make: Callable[[int, int, float], np.ndarray | None],
) -> Tensor:
    """Resample one dimension after the other by a matrix."""
    for index, new in enumerate(sizes):
        dim, old = index + 2, int(x.shape[index + 2])
        scale = scales[index] if scales else new / old
        if new == old and scale == 1:
            continue
        matrix = make(old, new, scale)
        if matrix is None:
            call.refuse(f"has the coordinates {_coordinates(call)!r}, which are not supported")
        moved = x if dim == x.dim() - 1 else _aten.transpose.int(x, dim, -1)
        moved = _aten.matmul.default(moved, torch.from_numpy(matrix).to(x.dtype))
        x = moved if dim == x.dim() - 1 else _aten.transpose.int(moved, dim, -1)
    return x


def _coordinates(call: Call) -> str:
    is_old = call.node.operator == "Upsample" or call.opset < _FIRST_WITH_MODES
    default = "asymmetric" if is_old else "half_pixel"
    return str(call.attribute("coordinate_transformation_mode", default))


_CUBIC = -0.75  # torch's coefficient
_FIRST_WITH_MODES = 11


def _target(call: Call, space: int, given: list[int]) -> tuple[list[int], list[float] | None]:
    """Return the sizes, and the scales where they are given."""
    is_old = call.node.operator == "Upsample" or call.opset < _FIRST_WITH_MODES
    scales_at, sizes_at = (1, 3) if is_old else (2, 3)
    axes = call.attribute("axes")
    if not is_old and call.has(sizes_at) and len(call.numbers(sizes_at)):
        call.check("keep_aspect_ratio_policy", "stretch")
        sizes = _spatial(call, call.numbers(sizes_at), axes, space, given)
        return [int(size) for size in sizes], None
    found = call.attribute("scales") or (call.numbers(scales_at) if call.has(scales_at) else [])
    scales = [float(scale) for scale in _spatial(call, list(found), axes, space, [1.0] * space)]
    return [int(size * scale) for size, scale in zip(given, scales, strict=True)], scales


def _spatial(call: Call, values: list[float], axes: object, space: int, kept: list) -> list:  # type: ignore[type-arg]
    """Return the values of the spatial dimensions."""
    if isinstance(axes, (list, tuple)):
        by_axis = {axis % (space + 2): value for axis, value in zip(axes, values, strict=True)}
        if {0, 1} & by_axis.keys():
            call.refuse("resizes channels or samples, which is not supported")
        return [by_axis.get(dim + 2, kept[dim]) for dim in range(space)]
    if len(values) != space + 2:
        call.refuse(f"has {len(values)} sizes for {space + 2} dimensions")
    return values[2:]


def _nearest(call: Call, x: Tensor, sizes: list[int], scales: list[float] | None) -> Tensor:
    is_old = call.node.operator == "Upsample" or call.opset < _FIRST_WITH_MODES
    how = _coordinates(call)
    rounding = call.attribute("nearest_mode", "floor" if is_old else "round_prefer_floor")
    space = len(sizes)
    # Whole factors repeat each pixel with either rule.
    is_whole = all(new % old == 0 for new, old in zip(sizes, x.shape[2:], strict=True))
    if (how == "asymmetric" and rounding == "floor") or (is_whole and how in _HALF_PIXEL):
        name = f"upsample_nearest{space}d"
    elif how in _HALF_PIXEL and rounding == "round_prefer_ceil":
        name = f"_upsample_nearest_exact{space}d"
    else:
        return _by_matrices(
            call,
            x,
            sizes,
            scales,
            lambda old, new, scale: nearest_matrix(old, new, scale, how, rounding),
        )
    return aten(getattr(_aten, name).vec, x, None if scales else sizes, scales)


def grid_sample(call: Call) -> Tensor:
    """GridSample."""
    modes = {"linear": 0, "bilinear": 0, "nearest": 1, "cubic": 2, "bicubic": 2}
    padding = {"zeros": 0, "border": 1, "reflection": 2}
    mode = modes[call.attribute("mode", "bilinear")]
    edges = padding[call.attribute("padding_mode", "zeros")]
    aligned = bool(call.attribute("align_corners", 0))
    return aten(_aten.grid_sampler.default, call.tensor(0), call.tensor(1), mode, edges, aligned)


RESAMPLING: dict[str, Function] = {
    "Resize": resize,
    "Upsample": resize,
    "GridSample": grid_sample,
}

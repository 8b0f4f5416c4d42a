"""Inputs of an ONNX file: their types, their sizes, and the batch."""

from dataclasses import dataclass

import onnx
import torch
from onnx import ValueInfoProto

from secateur.engine.errors import ModelRejectedError
from secateur.engine.onnx_in.call import shown, to_dtype

# `make_dynamic_shape_fixed` of ONNX Runtime cannot give two sizes of one name different values.
_FIX_SIZES = (
    "import onnx; m = onnx.load('model.onnx'); d = m.graph.input[{number}].type.tensor_type.shape"
    ".dim; {places} = {sizes}; onnx.save(m, 'fixed.onnx')"
)
Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class OnnxInput:
    """An input of the file; the first size of its shape is the batch."""

    name: str
    shape: Shape
    dtype: torch.dtype


def read_inputs(
    values: list[ValueInfoProto], shapes: tuple[Shape, ...] | None
) -> tuple[tuple[OnnxInput, ...], int | None]:
    """Return the inputs, and the number of samples that the file was made for; None: any.

    Args:
        values: Inputs of the graph that are not initialisers.
        shapes: Shapes to use where the file leaves sizes open; None: there are none.

    Raises:
        ModelRejectedError: An input has no batch, an open size, or a type that is no number.
    """
    if shapes is not None and len(shapes) != len(values):
        raise ModelRejectedError(
            f"the ONNX file has {len(values)} inputs; {len(shapes)} example inputs are given"
        )
    inputs: list[OnnxInput] = []
    batches: set[int | None] = set()
    for number, value in enumerate(values):
        dtype = to_dtype(value.type.tensor_type.elem_type)
        name = shown(value.name)
        if dtype is None:
            raise ModelRejectedError(
                f"the input {name} of the ONNX file must be a tensor of numbers"
            )
        sizes = [_size(dim) for dim in value.type.tensor_type.shape.dim]
        if shapes is not None:
            sizes = _with_given(name, sizes, shapes[number])
        if not sizes:
            raise ModelRejectedError(f"the input {name} of the ONNX file has no batch dimension")
        _check_sizes(number, name, sizes)
        batches.add(sizes[0])
        inputs.append(OnnxInput(value.name, (None, *sizes[1:]), dtype))
    if len(batches) > 1:
        found = ", ".join(sorted("any" if size is None else str(size) for size in batches))
        raise ModelRejectedError(
            f"the inputs of the ONNX file take different numbers of samples: {found}"
        )
    return tuple(inputs), batches.pop()


def _size(dim: onnx.TensorShapeProto.Dimension) -> int | None:
    """Return a size, or None for a name or an unknown size (0, and -1 from Paddle)."""
    return int(dim.dim_value) if dim.dim_value > 0 else None


def _with_given(name: str, sizes: list[int | None], given: Shape) -> list[int | None]:
    if len(given) != len(sizes) or any(
        a is not None and a != b for a, b in zip(sizes[1:], given[1:], strict=False)
    ):
        raise ModelRejectedError(
            f"the example for the input {name} has the shape {list(given)}; the ONNX file takes "
            f"{[size or 'any' for size in sizes]}"
        )
    return [sizes[0], *given[1:]]


def _check_sizes(number: int, name: str, sizes: list[int | None]) -> None:
    open_dims = [dim for dim, size in enumerate(sizes) if dim and size is None]
    if open_dims:
        said = ", ".join("any" if size is None else str(size) for size in sizes[1:])
        places = ", ".join(f"d[{dim}].dim_value" for dim in open_dims)
        command = _FIX_SIZES.format(
            number=number, places=places, sizes=", ".join(["SIZE"] * len(open_dims))
        )
        raise ModelRejectedError(
            f"the input {name} of the ONNX file takes samples of the sizes {said}; a network is "
            "pruned for one size",
            hint=f'Fix them with numbers in place of SIZE: python -c "{command}"',
        )

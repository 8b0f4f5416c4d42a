"""Give your own module the widths and weights of its pruned network.

Usage: ``model = load_pruned(MyNet(), "weights.safetensors")``. Works for modules whose ``forward``
takes sizes from its layers; where it has them as numbers, load ``pruned.pt2`` instead.
"""

from pathlib import Path
from typing import TypeVar

from safetensors.torch import load_file
from torch import nn

M = TypeVar("M", bound=nn.Module)


def load_pruned(model: M, weights: str | Path) -> M:
    """Return ``model`` with the parameters and buffers in ``weights``, whatever their sizes."""
    for name, tensor in load_file(weights).items():
        path, _, leaf = name.rpartition(".")
        owner = model.get_submodule(path)
        is_parameter = leaf in dict(owner.named_parameters(recurse=False))
        setattr(owner, leaf, nn.Parameter(tensor) if is_parameter else tensor)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.out_features, module.in_features = module.weight.shape
        elif isinstance(module, nn.modules.batchnorm._NormBase):  # noqa: SLF001
            module.num_features = len(module.weight)
        elif isinstance(module, nn.LayerNorm):
            module.normalized_shape = tuple(module.weight.shape)
        elif isinstance(module, nn.GroupNorm):
            module.num_channels = len(module.weight)
        elif isinstance(module, nn.modules.conv._ConvNd):  # noqa: SLF001
            is_depthwise = module.groups > 1 and module.groups == module.in_channels
            first, second = module.weight.shape[:2]
            module.groups = first if is_depthwise else module.groups
            inputs, outputs = second * module.groups, first
            if module.transposed:
                inputs, outputs = first, second * module.groups
            module.in_channels, module.out_channels = inputs, outputs
    return model

"""Create a run's optimiser, and save and restore its tensors by name.

Called by `trainer` alone. To add an optimiser, add a branch here and a literal in `options`.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.program.module import ProgramModule
from secateur.engine.retrain.options import OptimizerOptions


def make_optimizer(module: ProgramModule, options: OptimizerOptions) -> torch.optim.Optimizer:
    """Return an optimiser over all parameters, with fused kernels: one call instead of five."""
    groups = _groups(module, options)
    if options.kind == "sgd":
        return torch.optim.SGD(
            groups,
            options.learning_rate,
            momentum=options.momentum,
            nesterov=options.momentum > 0,
            fused=True,
        )
    return torch.optim.AdamW(groups, options.learning_rate, fused=True)


def _groups(module: ProgramModule, options: OptimizerOptions) -> list[dict[str, object]]:
    parameters = [p for p in module.parameters() if p.requires_grad]
    if options.decay == "all":
        return [{"params": parameters, "weight_decay": options.weight_decay}]
    weights = [p for p in parameters if p.ndim > 1]
    others = [p for p in parameters if p.ndim <= 1]
    groups = [(weights, options.weight_decay), (others, 0.0)]
    return [{"params": found, "weight_decay": decay} for found, decay in groups if found]


def optimizer_tensors(optimizer: torch.optim.Optimizer, module: ProgramModule) -> dict[str, Tensor]:
    """Return copies of the optimiser's tensors by ``<parameter>/<slot>``."""
    found: dict[str, Tensor] = {}
    for name, parameter in module.named_parameters():
        for slot, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                found[f"{name}/{slot}"] = value.detach().clone()
    return found


def restore_optimizer(
    optimizer: torch.optim.Optimizer, module: ProgramModule, tensors: Mapping[str, Tensor]
) -> None:
    """Load saved tensors into a new optimiser over the same parameters.

    Raises:
        DataError: A saved tensor belongs to an unknown parameter.
    """
    parameters = dict(module.named_parameters())
    for key, tensor in tensors.items():
        name, _, slot = key.rpartition("/")
        parameter = parameters.get(name)
        if parameter is None:
            raise DataError(f"the training state has an optimiser tensor for {name}, unknown here")
        # The fused kernels walk raw memory, so a slot needs the strides of its parameter.
        is_shaped = tensor.shape == parameter.shape
        # They also need its device, even for AdamW's step counter.
        value = (
            torch.empty_like(parameter).copy_(tensor)
            if is_shaped
            else tensor.clone().to(parameter.device)
        )
        optimizer.state[parameter][slot] = value.detach()

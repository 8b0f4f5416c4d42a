"""Normalisation."""

import torch
from torch import Tensor

from secateur.engine.onnx_in.call import Call, Function, aten, static_shape

_aten = torch.ops.aten
_MOMENTUM = 0.1  # torch's default; ONNX's attribute means the same in most files


def batch_norm(call: Call) -> Tensor:
    """BatchNormalization with stored statistics, or with those of the batch."""
    call.check("spatial", 1)
    x, weight, bias = call.tensor(0), call.weight(1), call.weight(2)
    epsilon = call.attribute("epsilon", 1e-5)
    if call.attribute("training_mode", 0):
        if any(call.node.outputs[1:]):
            call.refuse("is in training mode: export the network after model.eval()")
        return aten(
            _aten.batch_norm.default, x, weight, bias, None, None, True, _MOMENTUM, epsilon, True
        )
    mean, var = (call.tensor(index, "statistic") for index in (3, 4))
    return aten(
        _aten.batch_norm.default, x, weight, bias, mean, var, False, _MOMENTUM, epsilon, True
    )


def instance_norm(call: Call) -> Tensor:
    """InstanceNormalization."""
    epsilon = call.attribute("epsilon", 1e-5)
    x, weight, bias = call.tensor(0), call.weight(1), call.weight(2)
    return aten(
        _aten.instance_norm.default, x, weight, bias, None, None, True, _MOMENTUM, epsilon, True
    )


def layer_norm(call: Call) -> Tensor:
    """LayerNormalization, without the mean and deviation as outputs."""
    if any(call.node.outputs[1:]):
        call.refuse("returns the mean, which is not supported")
    x, weight, bias = call.tensor(0), call.weight(1), call.maybe_weight(2)
    axis = call.attribute("axis", -1) % x.dim()
    shape = static_shape(call, x, axis)
    epsilon = call.attribute("epsilon", 1e-5)
    return aten(_aten.layer_norm.default, x, shape, weight, bias, epsilon)


def rms_norm(call: Call) -> Tensor:
    """RMSNormalization."""
    x, weight = call.tensor(0), call.weight(1)
    shape = static_shape(call, x, call.attribute("axis", -1) % x.dim())
    return aten(_aten.rms_norm.default, x, shape, weight, call.attribute("epsilon", 1e-5))


def group_norm(call: Call) -> Tensor:
    """GroupNormalization: until opset 20 with a scale for each group."""
    x, weight, bias = call.tensor(0), call.weight(1), call.weight(2)
    groups = call.attribute("num_groups")
    if weight.shape[0] != x.shape[1]:
        times = x.shape[1] // groups
        weight, bias = (torch.repeat_interleave(value, times) for value in (weight, bias))
    epsilon = call.attribute("epsilon", 1e-5)
    return aten(_aten.group_norm.default, x, groups, weight, bias, epsilon)


def local_response_norm(call: Call) -> Tensor:
    """LRN."""
    x, size = call.tensor(0), call.attribute("size")
    alpha, beta = call.attribute("alpha", 1e-4), call.attribute("beta", 0.75)
    return torch.nn.functional.local_response_norm(
        x, size, alpha, beta, call.attribute("bias", 1.0)
    )


def lp_norm(call: Call) -> Tensor:
    """LpNormalization."""
    x, p = call.tensor(0), call.attribute("p", 2)
    axis = call.attribute("axis", -1)
    norm: Tensor = _aten.linalg_vector_norm.default(x, p, [axis], True)
    return x / norm


def mean_variance_norm(call: Call) -> Tensor:
    """MeanVarianceNormalization."""
    x, axes = call.tensor(0), list(call.attribute("axes", [0, 2, 3]))
    centred = x - x.mean(axes, keepdim=True)
    return centred / (torch.sqrt((centred * centred).mean(axes, keepdim=True)) + 1e-9)


NORMALIZATION: dict[str, Function] = {
    "BatchNormalization": batch_norm,
    "InstanceNormalization": instance_norm,
    "LayerNormalization": layer_norm,
    "RMSNormalization": rms_norm,
    "GroupNormalization": group_norm,
    "LRN": local_response_norm,
    "LpNormalization": lp_norm,
    "MeanVarianceNormalization": mean_variance_norm,
}

"""Operators that work on each element."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from secateur.engine.onnx_in.call import Call, Function, Value, as_operand, aten, to_dtype

_aten = torch.ops.aten
_WITH_NUMBER_FIRST = {"add": "add", "mul": "mul", "sub": "rsub"}  # operators for number ∘ tensor


def _rank(call: Call) -> int:
    """Return the largest rank of the operands that are tensors."""
    return max((v.dim() for v in call.values if isinstance(v, Tensor)), default=0)


def _binary(name: str) -> Function:
    packet = getattr(_aten, name)

    def function(call: Call) -> Tensor:
        rank = _rank(call)
        a, b = as_operand(call, 0, rank), as_operand(call, 1, rank)
        if not isinstance(a, Tensor):
            if not isinstance(b, Tensor) or name not in _WITH_NUMBER_FIRST:
                a = call.tensor(0)
            else:
                reverse = getattr(_aten, _WITH_NUMBER_FIRST[name])
                return aten(reverse, b, a)
        return aten(packet, a, b)

    return function


def divide(call: Call) -> Tensor:
    """Div, which rounds whole numbers towards zero."""
    rank = _rank(call)
    a, b = call.tensor(0), as_operand(call, 1, rank)
    if a.is_floating_point():
        return aten(_aten.div, a, b)
    return aten(_aten.div, a, b, rounding_mode="trunc")


def power(call: Call) -> Tensor:
    """Pow, in the type of the base."""
    base = call.tensor(0)
    found = aten(_aten.pow, base, as_operand(call, 1, base.dim()))
    return found if found.dtype == base.dtype else found.to(base.dtype)


def modulo(call: Call) -> Tensor:
    """Mod: the sign follows the divisor, or the dividend with ``fmod``."""
    a, b = call.tensor(0), as_operand(call, 1, _rank(call))
    return aten(_aten.fmod if call.attribute("fmod", 0) else _aten.remainder, a, b)


def _fold(function: Callable[[Tensor, Any], Tensor], *, is_mean: bool = False) -> Function:
    """Return an operator with any number of operands."""

    def operator(call: Call) -> Tensor:
        found = functools.reduce(function, [call.tensor(i) for i in range(len(call.values))])
        return found / len(call.values) if is_mean else found

    return operator


def clip(call: Call) -> Tensor:
    """Clip: bounds are attributes before opset 11."""
    x = call.tensor(0)
    low, high = call.literal("min", 1), call.literal("max", 2)
    if low is None and high is None:
        return x
    return aten(_aten.clamp, x, low, high)


def cast(call: Call) -> Tensor:
    """Cast."""
    x, dtype = call.tensor(0), to_dtype(call.attribute("to"))
    if dtype is None:
        call.refuse("casts to a type that is not supported")
    return x if dtype == x.dtype else aten(_aten.to.dtype, x, dtype)


def cast_like(call: Call) -> Value:
    """CastLike: a known value stays known, since only the type of the other input counts."""
    x, like = call.value(0), call.tensor(1)
    if isinstance(x, Tensor):
        return x if like.dtype == x.dtype else aten(_aten.to.dtype, x, like.dtype)
    if x.dtype == object or like.dtype == torch.bfloat16:
        return aten(_aten.to.dtype, call.tensor(0), like.dtype)
    return x.astype(str(like.dtype).removeprefix("torch."))


def where(call: Call) -> Tensor:
    """Where."""
    return aten(_aten.where, call.tensor(0), call.tensor(1), call.tensor(2))


def identity(call: Call) -> Any:  # noqa: ANN401  # tensor or array
    """Identity and Dropout, which does nothing in inference."""
    if call.node.operator == "Dropout" and call.has(2) and bool(call.number(2)):
        call.refuse("is in training mode")
    return call.value(0)


def _unary(name: str) -> Function:
    packet = getattr(_aten, name)
    return lambda call: packet(call.tensor(0))


def leaky_relu(call: Call) -> Tensor:
    """LeakyRelu."""
    return aten(_aten.leaky_relu, call.tensor(0), call.attribute("alpha", 0.01))


def prelu(call: Call) -> Tensor:
    """PRelu: slopes of one channel each, or of any broadcast shape."""
    x, slope = call.tensor(0), call.weight(1)
    channels = x.shape[1] if x.dim() > 1 else 1
    if slope.numel() in {1, channels} and (slope.dim() < x.dim() or slope.shape[0] == channels):
        is_plain = slope.numel() == 1 or slope.shape[0] == channels
        if is_plain:
            return aten(_aten.prelu, x, slope.reshape(-1) if slope.dim() != 1 else slope)
    return torch.clamp(x, min=0) + slope * torch.clamp(x, max=0)


def elu(call: Call) -> Tensor:
    """Elu and Celu."""
    alpha = call.attribute("alpha", 1.0)
    x = call.tensor(0)
    if call.node.operator == "Celu":
        return aten(_aten.celu, x, alpha)
    return aten(_aten.elu, x, alpha)


def selu(call: Call) -> Tensor:
    """Selu, with any constants."""
    alpha = call.attribute("alpha", 1.6732632423543772)
    gamma = call.attribute("gamma", 1.0507009873554805)
    return aten(_aten.elu, call.tensor(0), alpha, gamma)


def hard_sigmoid(call: Call) -> Tensor:
    """HardSigmoid; torch's own has the slope 1/6."""
    x = call.tensor(0)
    alpha, beta = call.attribute("alpha", 0.2), call.attribute("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:  # noqa: PLR2004  # torch's constants
        return aten(_aten.hardsigmoid, x)
    return torch.clamp(x * alpha + beta, 0, 1)


def thresholded_relu(call: Call) -> Tensor:
    """ThresholdedRelu."""
    return aten(_aten.threshold, call.tensor(0), call.attribute("alpha", 1.0), 0)


def gelu(call: Call) -> Tensor:
    """Gelu."""
    return aten(_aten.gelu, call.tensor(0), approximate=call.attribute("approximate", "none"))


def swish(call: Call) -> Tensor:
    """Swish."""
    x, alpha = call.tensor(0), call.attribute("alpha", 1.0)
    if alpha == 1.0:
        return aten(_aten.silu, x)
    return x * torch.sigmoid(x * alpha)


def softmax(call: Call) -> Tensor:
    """Softmax and LogSoftmax: before opset 13 over all dimensions from the axis on."""
    x = call.tensor(0)
    packet = _aten.softmax.int if call.node.operator == "Softmax" else _aten.log_softmax.int
    axis = call.attribute("axis", -1 if call.opset >= _SOFTMAX_OF_ONE_AXIS else 1) % x.dim()
    rest = [size for size in x.shape[axis + 1 :] if size != 1]
    if call.opset >= _SOFTMAX_OF_ONE_AXIS or not rest:
        return aten(packet, x, axis)
    return aten(packet, torch.flatten(x, axis), axis).reshape(x.shape)


def shrink(call: Call) -> Tensor:
    """Shrink: values near zero become zero, others move towards it by a bias."""
    x, lambd, bias = call.tensor(0), call.attribute("lambd", 0.5), call.attribute("bias", 0.0)
    near = torch.where(x > lambd, x - bias, 0.0)
    return torch.where(x < -lambd, x + bias, near)


_SOFTMAX_OF_ONE_AXIS = 13

_SAME_NAMES = dict(
    pair.split("=")
    for pair in """Sqrt=sqrt Exp=exp Log=log Abs=abs Neg=neg Reciprocal=reciprocal Floor=floor
    Ceil=ceil Round=round Sign=sign Erf=erf Sin=sin Cos=cos Tan=tan Asin=asin Acos=acos Atan=atan
    Sinh=sinh Cosh=cosh Asinh=asinh Acosh=acosh Atanh=atanh Tanh=tanh Relu=relu Sigmoid=sigmoid
    Softplus=softplus Mish=mish HardSwish=hardswish Not=logical_not IsNaN=isnan
    IsInf=isinf BitwiseNot=bitwise_not Det=linalg_det""".split()
)
_TWO_OPERANDS = dict(
    pair.split("=")
    for pair in """Add=add Sub=sub Mul=mul Equal=eq Greater=gt GreaterOrEqual=ge Less=lt
    LessOrEqual=le And=logical_and Or=logical_or Xor=logical_xor BitwiseAnd=bitwise_and
    BitwiseOr=bitwise_or BitwiseXor=bitwise_xor""".split()
)

ARITHMETIC: dict[str, Function] = {
    **{name: _unary(aten) for name, aten in _SAME_NAMES.items()},
    **{name: _binary(aten) for name, aten in _TWO_OPERANDS.items()},
    "Div": divide,
    "Pow": power,
    "Mod": modulo,
    "Min": _fold(torch.minimum),
    "Max": _fold(torch.maximum),
    "Sum": _fold(torch.add),
    "Mean": _fold(torch.add, is_mean=True),
    "Clip": clip,
    "Cast": cast,
    "CastLike": cast_like,
    "Where": where,
    "Identity": identity,
    "Dropout": identity,
    "LeakyRelu": leaky_relu,
    "PRelu": prelu,
    "Elu": elu,
    "Celu": elu,
    "Selu": selu,
    "HardSigmoid": hard_sigmoid,
    "ThresholdedRelu": thresholded_relu,
    "Gelu": gelu,
    "Swish": swish,
    "Shrink": shrink,
    "Softsign": lambda call: call.tensor(0) / (1 + torch.abs(call.tensor(0))),
    "Softmax": softmax,
    "LogSoftmax": softmax,
}

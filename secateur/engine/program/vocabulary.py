"""Operators that a program may call: looked up by name in torch's tables, never imported.

An ATen operator is accepted if its schema maps tensors, numbers and lists to tensors, and nothing
below forbids it. A closed list would refuse a whole file for one operator that need not be pruned;
the analysis pins the inputs of operators without a rule. Every refusal has a reason for the user.
"""

import functools
import math
import operator
import re
from collections.abc import Callable
from typing import Any

import torch

_Overload = torch._ops.OpOverload  # noqa: SLF001  # torch has no public name for it

# Checks inserted by the exporter. They compute nothing, and pruning makes their literals wrong.
ASSERTIONS = frozenset(
    "_assert_tensor_metadata _assert_scalar _assert_async sym_constrain_range "
    "sym_constrain_range_for_size".split()
)
# Arithmetic of sizes and numbers. Powers and shifts are missing: they make huge numbers.
_OPERATORS: dict[str, Callable[..., Any]] = {
    **{
        f"_operator.{function.__name__}": function
        for function in (
            operator.add,
            operator.sub,
            operator.mul,
            operator.truediv,
            operator.floordiv,
            operator.mod,
            operator.neg,
            operator.eq,
            operator.ne,
            operator.lt,
            operator.le,
            operator.gt,
            operator.ge,
            operator.getitem,
        )
    },
    **{
        f"torch.{function.__name__}": function
        for function in (torch.sym_float, torch.sym_int, torch.sym_max, torch.sym_min)
    },
    "math.trunc": math.trunc,
    # Reads a number out of a tensor: accepted where `constants` can compute it.
    "torch.ops.aten.item.default": torch.ops.aten.item.default,
}
_TARGET = re.compile(r"torch\.ops\.(aten|torchvision)\.([A-Za-z_0-9]{1,80})\.([A-Za-z_0-9]{1,60})")
# Operators with a leading underscore are internal to torch, except these, which occur in exports.
_INTERNAL = frozenset(
    """
    _softmax _log_softmax _to_copy _unsafe_view _unsafe_index _adaptive_avg_pool2d
    _adaptive_avg_pool3d _prelu_kernel _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa _weight_norm
    _weight_norm_interface _native_batch_norm_legit_no_training _fused_rms_norm _cdist_forward
    _pdist_forward _fft_r2c _fft_c2r _fft_c2c _conj _neg_view _trilinear _euclidean_dist
    _safe_softmax _scaled_dot_product_flash_attention_for_cpu
    _scaled_dot_product_attention_math __and__ __or__ __xor__ __lshift__ __rshift__
    """.split()
)
# Tagged as random because of their training mode; deterministic when exported for inference.
_RANDOM_IN_TRAINING = frozenset(
    """
    dropout feature_dropout alpha_dropout feature_alpha_dropout native_dropout rrelu
    scaled_dot_product_attention lstm gru rnn_tanh rnn_relu
    _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_attention_math
    """.split()
)
# The shape depends on the data only for masks (`shapes` refuses them), or without num_classes.
_SOMETIMES_FIXED = frozenset("index one_hot".split())
# In-place operators whose functional form has a different name.
_FUNCTIONAL_NAMES = {
    "zero_": "zeros_like",
    "__iand__": "bitwise_and",
    "__ior__": "bitwise_or",
    "__ixor__": "bitwise_xor",
    "__ilshift__": "bitwise_left_shift",
    "__irshift__": "bitwise_right_shift",
}
_FUNCTIONAL_OVERLOADS = {
    ("pow_", "Scalar"): "Tensor_Scalar",
    ("pow_", "Tensor"): "Tensor_Tensor",
    ("__ilshift__", "Tensor"): "Tensor",
    ("__ilshift__", "Scalar"): "Tensor_Scalar",
    ("__irshift__", "Scalar"): "Tensor_Scalar",
}
_TORCHVISION = frozenset({"deform_conv2d", "roi_align"})
_DEPENDS_ON_DATA = "the shape of its result depends on the data, but every shape must be fixed"
NUMBER_FROM_TENSOR = (
    "it reads a number out of a tensor, so the graph would depend on the data. Compute with the "
    "tensor instead"
)
_BY_ADDRESS = (
    "it reads or shares memory by address, regardless of the tensor's shape. Use view, slice or "
    "reshape"
)
_LOSS = "it computes a loss. Export only the network, with its scores as outputs"
_SPARSE = "sparse and nested tensors are not accepted. Convert to dense tensors before the export"
_QUANTIZED = "it is quantised. Upload the network in float32 and quantise it after pruning"
_BACKEND = (
    "it belongs to one device's library. Export the network on the CPU, with torch.export.export"
)
_GRADIENT = "it belongs to training. Export only the network, after model.eval()"
_WORK = "its running time depends on a number in the file, which no limit covers"
_MEMORY = "its indices are not checked against the memory they read"
_RANDOM = (
    "it draws random numbers, but a network must return the same outputs for the same inputs. Call "
    "model.eval() before the export, or remove the sampling"
)
_UNKNOWN = "is not an accepted operator"
_NOT_IN_VOCABULARY = "it is not in the vocabulary"
_FORBIDDEN = tuple(
    (re.compile("|".join(patterns.split())), reason)
    for patterns, reason in (
        ("from_file load save", "it opens files"),
        ("as_strided.* slice_inverse set set_data data resize.* lift record_stream", _BY_ADDRESS),
        (".*_backward.* .*_jvp get_gradients grad batch_norm_.*", _GRADIENT),
        (".*_loss.* binary_cross_entropy.* kl_div", _LOSS),
        (
            """(to_)?sparse_.* to_sparse.* nested_.* .*_nested .*padded_tensor hspmm smm sspaddmm
            to_dense coalesce (row_|col_|crow_|ccol_)?indices(_copy)? values(_copy)? copy_sparse_.*
            resize_as_sparse flatten_dense_.* unflatten_dense_.*""",
            _SPARSE,
        ),
        (
            """quantize.* dequantize int_repr q_per_.* choose_qparams.* fbgemm_.* empty_quantized
            to_mkldnn""",
            _QUANTIZED,
        ),
        (
            """(cudnn|miopen|mkldnn|mps|xpu)_.* cuda cpu pin_memory (slow|thnn)_conv.*
            convolution_overrideable conv_depthwise3d conv_tbc""",
            _BACKEND,
        ),
        (
            """special_.*polynomial.* polygamma special_polygamma mvlgamma special_multigammaln
            combinations hash_tensor linalg__powsum""",
            _WORK,
        ),
        (
            """lu_solve lu_unpack linalg_lu_solve linalg_ldl_solve orgqr ormqr
            linalg_householder_product segment_reduce fractional_max_pool.* embedding_bag
            embedding_renorm roi_pool ps_roi_.*""",
            _MEMORY,
        ),
        ("nonzero.* nms masked_select unique.* bincount", _DEPENDS_ON_DATA),
        ("histogramdd as_tensor tensor dict sorted", _NOT_IN_VOCABULARY),
    )
)
_ACCEPTED_TYPES = re.compile(
    r"(Optional\[|List\[)*(Tensor|number|int|float|bool|complex|Device|str)\]*"
)


@functools.cache
def op_name(target: object) -> str:
    """Return the bare name of a call target, such as ``conv2d``, without its overload."""
    if isinstance(target, _Overload):
        return str(target.name()).split("::")[-1].split(".")[0]
    return str(getattr(target, "__name__", target))


def find_operator(target: str) -> Callable[..., Any] | None:
    """Return the callable of a serialised call target, or None if it is not in the vocabulary."""
    if target in _OPERATORS:
        return _OPERATORS[target]
    overload = _find_overload(target)
    return overload if overload is not None and reason_against(overload) is None else None


def why_refused(target: str) -> str:
    """Return the message that explains why a call target is refused."""
    overload = _find_overload(target)
    reason = reason_against(overload) if overload is not None else None
    if reason is not None:
        return f"{_UNKNOWN}: {reason}"
    known = target.startswith(("torch.ops.aten.", "torch.ops.torchvision."))
    if target.startswith("torch.ops.") and not known:
        return (
            f"{_UNKNOWN}: its library is not installed on the worker. Write the layer with torch's "
            "own operators"
        )
    return _UNKNOWN


@functools.cache
def reason_against(overload: _Overload) -> str | None:
    """Return why an operator is refused, or None if it is accepted."""
    namespace, _, name = overload._schema.name.partition("::")  # noqa: SLF001
    if namespace == "torchvision":
        return None if name in _TORCHVISION else _reason_by_name(name) or _NOT_IN_VOCABULARY
    if name in ASSERTIONS or name == "sym_size":
        return None
    if overload._schema.is_mutable:  # noqa: SLF001
        functional = functional_form(overload)
        if functional is None:
            return "it writes into its arguments and has no functional form"
        return reason_against(functional)
    return _reason_by_name(name) or _reason_by_tags(overload, name) or _reason_by_schema(overload)


def functional_form(overload: _Overload) -> _Overload | None:
    """Return the out-of-place operator of an in-place ``overload``, or None."""
    name = overload._schema.name.partition("::")[2]  # noqa: SLF001
    found = _FUNCTIONAL_NAMES.get(name)
    if found is None and (name.startswith("__") or not name.endswith("_")):
        return None
    writes = [a.alias_info is not None and a.alias_info.is_write for a in _arguments(overload)]
    if not writes or writes != [True] + [False] * (len(writes) - 1):
        return None
    packet = getattr(torch.ops.aten, found or name.removesuffix("_"), None)
    overload_name = overload._overloadname  # noqa: SLF001
    overload_name = _FUNCTIONAL_OVERLOADS.get((name, overload_name), overload_name)
    if packet is None or overload_name not in packet.overloads():
        return None
    functional: _Overload = getattr(packet, overload_name)
    return None if functional._schema.is_mutable else functional  # noqa: SLF001


def _find_overload(target: str) -> _Overload | None:
    match = _TARGET.fullmatch(target)
    if match is None:
        return None
    library = torch.ops.aten if match[1] == "aten" else _torchvision()
    packet = getattr(library, match[2], None) if library is not None else None
    if not isinstance(packet, torch._ops.OpOverloadPacket):  # noqa: SLF001
        return None
    return getattr(packet, match[3]) if match[3] in packet.overloads() else None


def _torchvision() -> Any:  # noqa: ANN401  # a namespace of operators
    try:
        import torchvision  # noqa: F401, PLC0415  # slow to import, rarely needed, optional
    except ImportError:
        return None
    return torch.ops.torchvision


def _arguments(overload: _Overload) -> list[Any]:
    return list(overload._schema.arguments)  # noqa: SLF001  # torch has no public schema


def _reason_by_name(name: str) -> str | None:
    for pattern, reason in _FORBIDDEN:
        if pattern.fullmatch(name):
            return reason
    if name.startswith("_") and name not in _INTERNAL:
        return "it is internal to torch"
    return None


def _reason_by_tags(overload: _Overload, name: str) -> str | None:
    tags = set(overload.tags)
    if torch.Tag.data_dependent_output in tags or name == "item":
        return NUMBER_FROM_TENSOR
    if torch.Tag.dynamic_output_shape in tags and name not in _SOMETIMES_FIXED:
        return _DEPENDS_ON_DATA
    if torch.Tag.nondeterministic_seeded in tags and name not in _RANDOM_IN_TRAINING:
        return _RANDOM
    return None


def _reason_by_schema(overload: _Overload) -> str | None:
    name = overload._schema.name.partition("::")[2]  # noqa: SLF001
    if name in {"lstm", "gru", "rnn_tanh", "rnn_relu"} and overload._overloadname != "input":  # noqa: SLF001
        return f"{_MEMORY}. Give the sequence as one padded tensor"
    if name in {"view", "view_copy"} and overload._overloadname == "dtype":  # noqa: SLF001
        return "it reads a tensor's bytes as another type"
    # A generator always has its default: files cannot contain one.
    types = [
        (argument.name, str(argument.type))
        for argument in _arguments(overload)
        if str(argument.type) != "Optional[Generator]"
    ]
    if any(not _ACCEPTED_TYPES.fullmatch(kind) or arg == "unsafe" for arg, kind in types):
        return "it takes more than tensors, numbers and lists of them"
    returns = [str(value.type) for value in overload._schema.returns]  # noqa: SLF001
    if not returns or any(kind not in {"Tensor", "List[Tensor]"} for kind in returns):
        return "it returns something that is not a tensor"
    return None

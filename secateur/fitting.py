"""Fits a live module to the weights of its pruned network.

A class's code may contain what weights do not show: sizes in ``forward``, groups, numbers of heads.
So the fitted module is run on the probe in the weights' file, and refused if its outputs differ
from the pruned network's. A refused module is left unchanged.
"""

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from secateur.errors import SecateurError

_KEY = "secateur"
_INSTEAD = "or use load_program, which needs no class"
# Tolerated differences between machines, as a share of an output's largest value. A wrong scale of
# attention shows in the fourth digit.
_TOLERANCES = {torch.float16: 0.05, torch.bfloat16: 0.2}
_TOLERANCE, _GPU_TOLERANCE = 1e-4, 2e-3  # GPUs may multiply with 10 bits


@dataclass(frozen=True)
class Weights:
    """The contents of ``weights.safetensors``.

    Attributes:
        tensors: The tensors, by their names in the user's module.
        constants: Names of tensors that ``forward`` may contain as literals instead.
        probe: Inputs and outputs of the pruned network; None in older files.
        norm_groups: Number of groups of each group norm, by the name of its scale.
    """

    tensors: dict[str, Tensor]
    constants: frozenset[str] = frozenset()
    probe: dict[str, Any] | None = field(default=None, repr=False)
    norm_groups: dict[str, int] = field(default_factory=dict)


def read_weights(path: Path) -> Weights:
    """Return the contents of a weights file.

    Raises:
        SecateurError: safetensors is not installed.
    """
    try:
        from safetensors import safe_open  # noqa: PLC0415  # only needed here
    except ModuleNotFoundError as error:
        raise SecateurError("reading weights needs safetensors: pip install safetensors") from error
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
        about = json.loads((file.metadata() or {}).get(_KEY, "{}"))
    constants = frozenset(about.get("constants", ()))
    return Weights(tensors, constants, about.get("probe"), about.get("norm_groups", {}))


def fit(module: nn.Module, weights: Weights) -> None:
    """Give a module the tensors and sizes of its pruned network.

    Raises:
        SecateurError: The weights belong to another class, or the module computes something else
            with them. The module is left unchanged.
    """
    with _restored_on_error(module):
        _replace_all(module, weights)
        for name, layer in module.named_modules():
            _take_sizes(layer)
            groups = weights.norm_groups.get(f"{name}.weight")
            if groups is not None and isinstance(layer, nn.GroupNorm):
                layer.num_groups = groups
        if weights.probe is None:
            warnings.warn(
                "these weights have no probe, because an older Secateur wrote them: compare the "
                "module with load_program yourself",
                stacklevel=3,
            )
        else:
            _check(module, weights.probe)


def _replace_all(module: nn.Module, weights: Weights) -> None:
    places = _places(module)
    kind = type(module).__name__
    for name, tensor in weights.tensors.items():
        if name not in places:
            if name in weights.constants:
                continue  # `forward` has it as a literal, which the probe checks
            raise SecateurError(f"{kind} has no {name!r}: these are another class's weights")
        owners = places[name]
        old: Tensor = getattr(*owners[0])
        if old.dim() != tensor.dim():
            raise SecateurError(
                f"{name} has shape {list(tensor.shape)} in the file and {list(old.shape)} in "
                f"{kind}: these are another class's weights"
            )
        new = tensor.to(old.device)
        if isinstance(old, nn.Parameter):
            new = nn.Parameter(new, old.requires_grad)
        for owner, leaf in owners:
            setattr(owner, leaf, new)


def _places(module: nn.Module) -> dict[str, list[tuple[nn.Module, str]]]:
    """Return all places of each named tensor: tied weights have several."""
    by_name: dict[str, tuple[nn.Module, str]] = {}
    by_identity: dict[int, list[tuple[nn.Module, str]]] = {}
    for prefix, layer in module.named_modules(remove_duplicate=False):
        own = {**layer._parameters, **layer._buffers}  # noqa: SLF001  # tied tensors under each of their names
        own |= {n: v for n, v in vars(layer).items() if isinstance(v, Tensor)}
        for leaf, tensor in own.items():
            if tensor is not None:
                by_name[f"{prefix}.{leaf}" if prefix else leaf] = (layer, leaf)
                by_identity.setdefault(id(tensor), []).append((layer, leaf))
    return {name: by_identity[id(getattr(*place))] for name, place in by_name.items()}


def _take_sizes(layer: Any) -> None:  # noqa: ANN401  # attributes depend on the class
    """Set a layer's size attributes to the sizes of its weights."""
    weight = _weight(layer)
    for kinds, take in _SIZES:
        if isinstance(layer, kinds):
            take(layer, weight)
            return
    if weight is not None and hasattr(layer, "normalized_shape"):
        layer.normalized_shape = tuple(
            weight.shape
        )  # LayerNorm, RMSNorm, and those of other libraries


def _weight(layer: nn.Module) -> Tensor | None:
    """Return the tensor that determines a layer's sizes; hooks compute ``weight`` from another."""
    for name in ("weight_v", "weight_orig", "weight", "running_mean"):
        found = getattr(layer, name, None)
        if isinstance(found, Tensor):
            return found
    return None


def _set(*names: str) -> Callable[[Any, Tensor | None], None]:
    """Return a function that sets attributes to the sizes of a weight's dimensions, in order."""

    def take(layer: Any, weight: Tensor | None) -> None:  # noqa: ANN401  # several classes
        if weight is not None:
            for name, size in zip(names, weight.shape, strict=False):
                setattr(layer, name, size)

    return take


def _take_recurrent(layer: Any, _weight: Tensor | None) -> None:  # noqa: ANN401  # cells and layers
    by_input: Any = layer.weight_ih_l0 if isinstance(layer, nn.RNNBase) else layer.weight_ih
    num_gates = 4 if isinstance(layer, (nn.LSTM, nn.LSTMCell)) else 1
    num_gates = 3 if isinstance(layer, (nn.GRU, nn.GRUCell)) else num_gates
    layer.input_size, layer.hidden_size = by_input.shape[1], by_input.shape[0] // num_gates


def _take_attention(layer: Any, _weight: Tensor | None) -> None:  # noqa: ANN401  # partly typed
    if layer.in_proj_weight is not None:
        size = layer.in_proj_weight.shape[1]
        layer.kdim = layer.vdim = size
    else:
        size = layer.q_proj_weight.shape[1]
        layer.kdim, layer.vdim = layer.k_proj_weight.shape[1], layer.v_proj_weight.shape[1]
    if size % layer.head_dim == 0:  # whole heads were cut
        layer.num_heads = size // layer.head_dim
    layer.embed_dim, layer.head_dim = size, size // layer.num_heads


def _take_group_norm(layer: nn.GroupNorm, weight: Tensor | None) -> None:
    if weight is not None:
        if layer.num_groups == layer.num_channels:  # one group per channel
            layer.num_groups = len(weight)
        layer.num_channels = len(weight)


def _take_convolution(layer: Any, weight: Tensor | None) -> None:  # noqa: ANN401  # all subclasses
    if weight is None:
        return
    first, second = weight.shape[:2]
    if layer.groups > 1 and layer.groups == layer.in_channels:  # depthwise: one group per channel
        multiplier = layer.out_channels // layer.groups
        layer.groups = first if layer.transposed else first // multiplier
    if layer.transposed:
        layer.in_channels, layer.out_channels = first, second * layer.groups
    else:
        layer.in_channels, layer.out_channels = second * layer.groups, first


_SIZES: tuple[tuple[Any, Callable[[Any, Tensor | None], None]], ...] = (
    ((nn.RNNBase, nn.RNNCellBase), _take_recurrent),
    (nn.MultiheadAttention, _take_attention),
    (nn.Linear, _set("out_features", "in_features")),
    (nn.Bilinear, _set("out_features", "in1_features", "in2_features")),
    ((nn.Embedding, nn.EmbeddingBag), _set("num_embeddings", "embedding_dim")),
    (nn.PReLU, _set("num_parameters")),
    (nn.modules.batchnorm._NormBase, _set("num_features")),  # noqa: SLF001  # all subclasses
    (nn.GroupNorm, _take_group_norm),
    (nn.modules.conv._ConvNd, _take_convolution),  # noqa: SLF001  # all subclasses
)


def _check(module: nn.Module, probe: dict[str, Any]) -> None:
    """Raise `SecateurError` if the module's outputs for the probe differ from those in it."""
    kind = type(module).__name__
    device = next((t.device for t in (*module.parameters(), *module.buffers())), None)
    inputs = []
    for number, said in enumerate(probe["inputs"]):
        dtype = getattr(torch, said["dtype"])
        x = _probe_input(tuple(said["shape"]), number)
        inputs.append((x if dtype.is_floating_point else x.abs()).to(device, dtype))
    args, kwargs = pytree.tree_unflatten(inputs, pytree.treespec_loads(probe["call"]))
    modes = [(layer, layer.training) for layer in module.modules()]
    try:
        with torch.no_grad():
            outputs = pytree.tree_leaves(module.eval()(*args, **kwargs))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
        raise SecateurError(
            f"{kind} cannot run with the pruned widths: {reason}. Its code contains a size as a "
            f"number (such as x.view(n, 64)): take it from the layers, {_INSTEAD}"
        ) from error
    finally:
        for layer, mode in modes:
            layer.training = mode
    if len(outputs) != len(probe["outputs"]):
        raise SecateurError(
            f"{kind} returns {len(outputs)} values, its pruned network {len(probe['outputs'])}: "
            "these are another class's weights"
        )
    narrowest = [t.dtype for t in (*inputs, *module.parameters()) if t.dtype in _TOLERANCES]
    usual = _TOLERANCE if device is None or device.type == "cpu" else _GPU_TOLERANCE
    share = max([usual, *(_TOLERANCES[dtype] for dtype in narrowest)])
    for number, (found, said) in enumerate(zip(outputs, probe["outputs"], strict=True)):
        if said is not None:
            _compare(kind, number, found, said, share)


def _compare(kind: str, number: int, found: object, said: dict[str, Any], share: float) -> None:
    if not isinstance(found, Tensor) or list(found.shape) != said["shape"]:
        shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise SecateurError(
            f"output {number} of {kind} is {shape}, the pruned network's has shape {said['shape']}:"
            f" its code contains a size as a number. Take it from the layers, {_INSTEAD}"
        )
    if "values" not in said or not found.numel():
        return
    flat = found.detach().double().cpu().flatten()
    wanted = torch.tensor(said["values"], dtype=torch.float64)
    some = flat[:: max(1, len(flat) // 128)]
    error = float((some - wanted).abs().max())
    if not error <= share * max(said["largest"], 1e-6):
        raise SecateurError(
            f"with these weights {kind} does not compute what the pruned network computes: output "
            f"{number} differs by {error:.3g}, and its largest value is {said['largest']:.3g}. The "
            "code contains sizes or values that weights cannot change, or the module was built "
            f"unlike the dense network: take sizes from the layers, {_INSTEAD}"
        )


def _probe_input(shape: tuple[int, ...], number: int) -> Tensor:
    """Return numbers in [-2, 2) that are the same on every machine, without a random generator."""
    count = torch.Size(shape).numel()
    steps = (torch.arange(count, dtype=torch.int64) + 7919 * number) * 48271 % 65521
    return (steps.double() / 65521 * 4 - 2).float().view(shape)


@contextmanager
def _restored_on_error(module: nn.Module) -> Iterator[None]:
    """Restore a module's tensors and attributes if the block raises."""
    layers = list(module.modules())
    before = [
        (dict(vars(layer)), dict(layer._parameters), dict(layer._buffers))  # noqa: SLF001
        for layer in layers
    ]
    try:
        yield
    except BaseException:
        for layer, (attributes, parameters, buffers) in zip(layers, before, strict=True):
            vars(layer).clear()
            vars(layer).update(attributes)
            layer._parameters.clear()  # noqa: SLF001
            layer._parameters.update(parameters)  # noqa: SLF001
            layer._buffers.clear()  # noqa: SLF001
            layer._buffers.update(buffers)  # noqa: SLF001
            if isinstance(layer, nn.RNNBase):
                layer._flat_weights = [getattr(layer, n) for n in layer._flat_weights_names]  # noqa: SLF001
        raise

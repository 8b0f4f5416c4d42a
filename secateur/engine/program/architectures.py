"""Build a program from ``safetensors`` weights and an architecture's name, without ``.pt2``.

torchvision or timm build the module from a name in their own lists; nothing is downloaded, and a
user's string is never imported. The weights must match exactly. The module is then exported here.
"""

import difflib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from secateur.engine.errors import ModelRejectedError, ModelTooLargeError
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.footprint import check_cost
from secateur.engine.program.limits import ModelLimits
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import ANALYSIS_BATCH, propagate

_NUM_SHOWN = 3
# Supported types, as named in a safetensors header.
_DTYPES = frozenset("F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL".split())


@dataclass(frozen=True)
class Architecture:
    """A network that a library can build.

    Attributes:
        name: ``torchvision/resnet18`` or ``timm/efficientnet_lite0``.
        num_classes: Outputs of the classifier; None for the library's default.
        in_channels: Channels of the images.
        image_size: Side of the square images, in pixels.
    """

    name: str
    num_classes: int | None = None
    in_channels: int = 3
    image_size: int = 224


def read_weights(
    path: Path, architecture: Architecture, limits: ModelLimits | None = None
) -> Program:
    """Return the program of an architecture with the weights in a ``.safetensors`` file.

    Before any tensor is read or allocated, the file's header is checked against the architecture
    built on the meta device.

    Raises:
        ModelRejectedError: The name is unknown, the library is not installed, the file is damaged,
            or its tensors are not exactly those of the architecture.
        ModelTooLargeError: The model exceeds a limit.
    """
    limits = limits or ModelLimits()
    try:
        header = _header(path)
        _check_size(header, limits)
        _check_fit(_build_on_meta(architecture), header, architecture.name)
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelRejectedError(f"not a safetensors file: {str(error)[:200]}") from error
    model = _build(architecture)
    _check_fit(model, header, architecture.name)
    _load(model, weights)
    size = architecture.image_size
    with FakeTensorMode():  # large images must not take memory before `check_cost`
        x = torch.empty(ANALYSIS_BATCH, architecture.in_channels, size, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        try:
            program = from_exported(export(model, (x,)))
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise ModelRejectedError(
                f"{architecture.name} cannot be exported for images of {size} pixels: {reason}"
            ) from error
    check_cost(program, propagate(program), limits)
    return program


def _header(path: Path) -> dict[str, tuple[torch.Size, str]]:
    """Return the shape and type of every tensor in a file."""
    with safe_open(path, "pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        return {name: (torch.Size(s.get_shape()), s.get_dtype()) for name, s in slices.items()}


def _check_size(header: dict[str, tuple[torch.Size, str]], limits: ModelLimits) -> None:
    num_elements = sum(shape.numel() for shape, _ in header.values())
    if num_elements > limits.tensor_elements:
        raise ModelTooLargeError(
            f"the tensors have {num_elements} elements, at most {limits.tensor_elements}"
        )


def _build_on_meta(architecture: Architecture) -> nn.Module | None:
    """Return the module on the meta device, or None if it cannot be built there."""
    try:
        with torch.device("meta"):
            return _build(architecture)
    except (NotImplementedError, RuntimeError):  # the constructor reads a tensor's value
        return None


def _build(architecture: Architecture) -> nn.Module:
    library, _, name = architecture.name.partition("/")
    options: dict[str, Any] = {}
    if architecture.num_classes is not None:
        options["num_classes"] = architecture.num_classes
    if library == "torchvision":
        return _torchvision(name, options, architecture.in_channels)
    if library == "timm":
        return _timm(name, options, architecture.in_channels)
    raise ModelRejectedError(
        f"architecture {architecture.name!r} is neither 'torchvision/NAME' nor 'timm/NAME'"
    )


def _suggestion(name: str, known: Sequence[str]) -> str:
    """Return a "did you mean" suffix with the closest name of a library, or an empty string."""
    plain = name.lower().replace("-", "").replace("_", "")
    squeezed = {each.replace("_", ""): each for each in known}
    matches = difflib.get_close_matches(plain, squeezed, 1)
    return f": did you mean {squeezed[matches[0]]!r}?" if matches else ""


def _torchvision(name: str, options: dict[str, Any], in_channels: int) -> nn.Module:
    from torchvision import models  # noqa: PLC0415  # slow to import, and few uploads need it

    if name not in models.list_models():
        suggestion = _suggestion(name, models.list_models())
        raise ModelRejectedError(f"torchvision has no model {name[:80]!r}{suggestion}")
    if in_channels != 3:  # noqa: PLR2004  # torchvision builds no others
        raise ModelRejectedError(f"torchvision's models take 3 channels, not {in_channels}")
    model: nn.Module = models.get_model(name, weights=None, **_fast_init_options(name), **options)
    return model


def _fast_init_options(name: str) -> dict[str, object]:
    """Return the arguments that make a builder skip slow or noisy initialisation."""
    if name in {"googlenet", "inception_v3"}:
        return {"init_weights": False}
    if name.startswith(("fcn", "deeplab", "lraspp")):
        return {"weights_backbone": None}
    return {}


def _timm(name: str, options: dict[str, Any], in_channels: int) -> nn.Module:
    try:
        import timm  # noqa: PLC0415  # optional
    except ImportError as error:
        raise ModelRejectedError(
            "timm is not installed on the worker: pip install 'secateur[timm]'"
        ) from error
    if name not in timm.list_models():
        raise ModelRejectedError(
            f"timm has no model {name[:80]!r}{_suggestion(name, timm.list_models())}"
        )
    model: nn.Module = timm.create_model(name, pretrained=False, in_chans=in_channels, **options)
    return model


def _check_fit(
    model: nn.Module | None, header: dict[str, tuple[torch.Size, str]], name: str
) -> None:
    """Refuse a file whose tensors do not exactly match the module's."""
    if model is None:
        return
    state = model.state_dict()
    counters = {key for key in state if key.endswith("num_batches_tracked")}
    missing = sorted(state.keys() - header.keys() - counters)
    extra = sorted(key[:80] for key in header.keys() - state.keys())
    known = sorted(key for key in header if key in state)
    wrong = [
        f"{key} is {tuple(header[key][0])}, not {tuple(state[key].shape)}"
        for key in known
        if header[key][0] != state[key].shape
    ]
    other_type = [
        f"{key} is {header[key][1]}"
        for key in known
        if header[key][1] not in _DTYPES
        or ("F" in header[key][1]) != state[key].dtype.is_floating_point
    ]
    problems = [
        f"{label} {', '.join(found[:_NUM_SHOWN])}" + (" …" if len(found) > _NUM_SHOWN else "")
        for label, found in (
            ("missing", missing),
            ("unexpected", extra),
            ("of another shape", wrong),
            ("of another type", other_type),
        )
        if found
    ]
    if problems:
        raise ModelRejectedError(f"the weights are not those of {name}: {'; '.join(problems)}")


def _load(model: nn.Module, weights: dict[str, Tensor]) -> None:
    for key, tensor in weights.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelRejectedError(f"{key} has values that are NaN or infinite")
    model.load_state_dict(weights, strict=False)  # only counters can be missing, as checked above

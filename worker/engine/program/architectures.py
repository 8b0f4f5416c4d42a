"""Weights as ``safetensors`` and the name of an architecture: a program without a ``.pt2`` file.

The module is built by torchvision or timm from a name in their own lists (never downloaded, never
imported by a user's string), the weights are loaded strictly, and the result is exported by us.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from worker.engine.errors import ModelRejectedError
from worker.engine.program.exported import export, from_exported
from worker.engine.program.program import Program
from worker.engine.program.shapes import propagate

_EXAMPLE_BATCH_SIZE = 2
_NUM_SHOWN = 3


@dataclass(frozen=True)
class Architecture:
    """A network that a library can build.

    Attributes:
        name: ``torchvision/resnet18`` or ``timm/efficientnet_lite0``.
        num_classes: Of the classifier; None: the library's default.
        in_channels: Of the images.
        image_size: Side of the square images, in pixels.
    """

    name: str
    num_classes: int | None = None
    in_channels: int = 3
    image_size: int = 224


def read_weights(path: Path, architecture: Architecture) -> Program:
    """Return the program of an architecture with the weights in a ``.safetensors`` file.

    Raises:
        ModelRejectedError: The name is unknown, the library is not installed, the file is damaged,
            or its tensors are not exactly those of the architecture.
    """
    try:
        weights = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelRejectedError(f"not a safetensors file: {str(error)[:200]}") from error
    model = _build(architecture)
    _load(model, weights, architecture.name)
    size = architecture.image_size
    x = torch.randn(_EXAMPLE_BATCH_SIZE, architecture.in_channels, size, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        try:
            program = from_exported(export(model, (x,)))
        except (RuntimeError, ValueError, AssertionError) as error:
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise ModelRejectedError(
                f"{architecture.name} cannot be exported for images of {size} pixels: {reason}"
            ) from error
    propagate(program)
    return program


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


def _torchvision(name: str, options: dict[str, Any], in_channels: int) -> nn.Module:
    from torchvision import models  # noqa: PLC0415  # heavy, and needed for few uploads

    if name not in models.list_models():
        raise ModelRejectedError(f"torchvision has no model {name[:80]!r}")
    if in_channels != 3:  # noqa: PLR2004  # what torchvision builds
        raise ModelRejectedError(f"torchvision's models take 3 channels, not {in_channels}")
    model: nn.Module = models.get_model(name, weights=None, **_quiet_options(name), **options)
    return model


def _quiet_options(name: str) -> dict[str, object]:
    """Return what these builders want to be told to skip a slow or noisy initialisation."""
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
        raise ModelRejectedError(f"timm has no model {name[:80]!r}")
    model: nn.Module = timm.create_model(name, pretrained=False, in_chans=in_channels, **options)
    return model


def _load(model: nn.Module, weights: dict[str, Tensor], name: str) -> None:
    expected = {key: tensor.shape for key, tensor in model.state_dict().items()}
    counters = {key for key in expected if key.endswith("num_batches_tracked")}
    missing = sorted(expected.keys() - weights.keys() - counters)
    extra = sorted(weights.keys() - expected.keys())
    wrong = [
        f"{key} is {tuple(tensor.shape)}, not {tuple(expected[key])}"
        for key, tensor in sorted(weights.items())
        if key in expected and tensor.shape != expected[key]
    ]
    problems = [
        f"{label} {', '.join(found[:_NUM_SHOWN])}" + (" …" if len(found) > _NUM_SHOWN else "")
        for label, found in (
            ("missing", missing),
            ("unexpected", extra),
            ("of another shape", wrong),
        )
        if found
    ]
    if problems:
        raise ModelRejectedError(f"the weights are not those of {name}: {'; '.join(problems)}")
    for key, tensor in weights.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise ModelRejectedError(f"{key} has values that are NaN or infinite")
    model.load_state_dict(weights, strict=False)  # all but the counters, as checked above

"""Networks by name, with the weights that their libraries publish.

``python -m secateur.pretrained NAME FILE`` exports one; the command line uses it, so that it does
not load torch itself. Weights are downloaded by the libraries' own loaders.
"""

import difflib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.errors import SecateurError

_WEIGHTS = "model.safetensors"  # other files on the Hub may hold pickled code
_ON_HUB = "hf-hub:"  # what timm calls networks of the Hugging Face Hub


@dataclass(frozen=True)
class Pretrained:
    """A trained network and how its inputs were made.

    Attributes:
        module: The network, an ``nn.Module`` in evaluation mode.
        example: A batch of two inputs, (2, channels, height, width).
        preprocess: ``mean`` and ``std`` of its training, for `Client.push_dataset`.
    """

    module: Any
    example: Any
    preprocess: dict[str, list[float]]


def is_name(text: str) -> bool:
    """Return whether a text names a network of a library: ``timm/resnet50``."""
    return any(text.startswith(prefix) and len(text) > len(prefix) for prefix in _LOADERS)


def load_pretrained(name: str) -> Pretrained:
    """Return a network with its published weights.

    Args:
        name: ``timm/resnet50``, ``torchvision/resnet50``, or ``hf:owner/name`` (with ``@revision``
            if wanted) for a timm network on the Hugging Face Hub whose weights are in
            ``model.safetensors``.

    Raises:
        SecateurError: The name or its library is unknown or not installed, or the weights cannot be
            downloaded.
    """
    for prefix, load in _LOADERS.items():
        if name.startswith(prefix):
            try:
                return load(name.removeprefix(prefix))
            except SecateurError:
                raise
            except ImportError as error:
                raise SecateurError(
                    f"{name} needs {error.name}: pip install {error.name} torch"
                ) from error
            except Exception as error:
                raise SecateurError(f"{name} cannot be loaded: {_line(error)}") from error
    raise SecateurError(f"{name!r} is not a name such as {', '.join(map(_example, _LOADERS))}")


def main(arguments: Sequence[str]) -> int:
    """Export a network to a file and print its preprocessing as JSON."""
    from secateur.torch import export_module  # noqa: PLC0415  # imports torch

    name, path = arguments
    try:
        found = load_pretrained(name)
        export_module(found.module, found.example, Path(path))
    except SecateurError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(json.dumps(found.preprocess))  # noqa: T201
    return 0


def _timm(name: str) -> Pretrained:
    import timm  # noqa: PLC0415  # an optional package

    if not name.startswith(_ON_HUB) and not timm.is_model(name):
        raise _unknown("timm", name, timm.list_models())
    module = timm.create_model(name, pretrained=True).eval()
    config: Any = module.pretrained_cfg
    return _pretrained(module, config["input_size"], config["mean"], config["std"])


def _torchvision(name: str) -> Pretrained:
    from torchvision.models import (  # noqa: PLC0415  # optional
        get_model,
        get_model_weights,
        list_models,
    )

    if name not in (known := list_models()):
        raise _unknown("torchvision", name, known)
    weights = get_model_weights(name).DEFAULT
    used = weights.transforms()
    if not hasattr(used, "mean") or not hasattr(used, "crop_size"):
        raise SecateurError(
            f"torchvision/{name} is not a classifier of one image size: export it with "
            "secateur.torch.push_module and an example of your own"
        )
    module, side = get_model(name, weights=weights).eval(), used.crop_size[0]
    return _pretrained(module, (3, side, side), used.mean, used.std)


def _hugging_face(name: str) -> Pretrained:
    from huggingface_hub import file_exists  # noqa: PLC0415  # an optional package

    repo, _, revision = name.partition("@")
    if not file_exists(repo, _WEIGHTS, revision=revision or None):
        raise SecateurError(f"hf:{name} has no {_WEIGHTS}; other formats may run code")
    return _timm(f"{_ON_HUB}{name}")


def _unknown(library: str, name: str, known: Sequence[str]) -> SecateurError:
    """Return the error for a name that a library does not have, with the nearest one."""
    alike = difflib.get_close_matches(name.lower(), known, 1)
    meant = f": did you mean {library}/{alike[0]}?" if alike else ""
    return SecateurError(f"{library} has no network {name[:64]!r}{meant}")


def _pretrained(
    module: Any,  # noqa: ANN401  # nn.Module, without importing torch
    shape: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
) -> Pretrained:
    import torch  # noqa: PLC0415  # the client works without it

    return Pretrained(module, torch.zeros(2, *shape), {"mean": list(mean), "std": list(std)})


def _example(prefix: str) -> str:
    return prefix + ("owner/name" if prefix.endswith(":") else "resnet50")


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


_LOADERS: dict[str, Callable[[str], Pretrained]] = {
    "timm/": _timm,
    "torchvision/": _torchvision,
    "hf:": _hugging_face,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

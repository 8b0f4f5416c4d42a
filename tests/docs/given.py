"""Fixtures of documentation pages, by the names in their notes.

A page that needs nothing but an empty folder names nothing. Files are small: what is shown is how
it is done, not how well a network does.
"""

import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from secateur.engine.program.exported import export
from tests.fixtures.networks import SmallNet
from tests.fixtures.service import Service, images, npz_bytes, trained_model_bytes, trained_net

# Channels of the network that pages start from: a job on it takes seconds.
_WIDTH = 16


@dataclass
class Start:
    """The starting state of a page: a folder, Python names and shell variables."""

    folder: Path
    service: Callable[[], Service]
    finished_job: Callable[[], Path]
    names: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    uses_service: bool = False

    def enter(self, service: Service) -> None:
        """Give the blocks the address and the key of the service."""
        self.uses_service = True
        self.names |= {"url": service.url, "key": service.key}
        self.variables |= {
            "URL": service.url,
            "AUTH": f"Authorization: Bearer {service.key}",
            "SECATEUR_URL": service.url,
            "SECATEUR_KEY": service.key,
        }


def prepare(start: Start, given: list[str]) -> None:
    """Set up the fixtures of a page in its folder, names and variables."""
    for name in given:
        GIVEN[name](start)


def _service(start: Start) -> None:
    """A running service: $URL, $AUTH, $SECATEUR_URL, $SECATEUR_KEY; `url` and `key` in Python."""
    service = start.service()
    start.enter(service)
    (start.folder / ".secateur").symlink_to(service.folder)


def _model_file(start: Start) -> None:
    (start.folder / "model.pt2").write_bytes(trained_model_bytes())


def _other_model_file(start: Start) -> None:
    """Other weights of the graph of the live model."""
    torch.manual_seed(1)
    (start.folder / "other.pt2").write_bytes(_exported(SmallNet(_WIDTH), (1, 8, 8)))


def _data_file(start: Start) -> None:
    x, y = images(400)
    (start.folder / "data.npz").write_bytes(npz_bytes(x=x, y=y))


def _image_file(start: Start) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(start.folder / "image.png")


def _live_model(start: Start) -> None:
    """A user's `model` (nn.Module) and an `example` batch of 2."""
    model = trained_net(_WIDTH)
    start.names |= {"torch": torch, "model": model, "example": torch.randn(2, 1, 8, 8)}


def _pruned(start: Start) -> None:
    """The files of a finished job in `pruned/`, and the class it was made from as `MyNet`."""
    shutil.copytree(start.finished_job(), start.folder / "pruned")
    start.names["MyNet"] = lambda: SmallNet(16)


def _resnet20(start: Start) -> None:
    """Two versions of a model named resnet20 (2x2 pixels, 10 classes), and `images` for it.

    In a tenant of the page's own: other pages have models of that name.
    """
    with start.service().as_tenant("resnet20") as service:
        for seed in (0, 1):
            torch.manual_seed(seed)
            service.upload("models", _exported(SmallNet(8, 10), (1, 2, 2)), name="resnet20")
        start.enter(service)
    start.names["images"] = np.zeros((3, 1, 2, 2), np.float32)


def _exported(model: nn.Module, shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(export(model, (torch.randn(2, *shape),)), buffer)
    return buffer.getvalue()


GIVEN: dict[str, Callable[[Start], None]] = {
    "service": _service,
    "model.pt2": _model_file,
    "other.pt2": _other_model_file,
    "data.npz": _data_file,
    "image.png": _image_file,
    "model": _live_model,
    "pruned": _pruned,
    "resnet20": _resnet20,
}

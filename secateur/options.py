"""What callers may pass: the types of arguments that several methods share."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypedDict

from secateur.types import Dataset, JobData, Model

AnyPath = str | os.PathLike[str]

ModelLike = Model | str | Path
"""A model, its id (``mdl_…``), its name, or a file, which is uploaded."""

DataLike = Dataset | str | Path
"""A data set, its id (``ds_…``), its name, or a file, which is uploaded."""

Servable = Model | JobData | str
"""A model, a job that made one, or an id, a name, ``name@version`` or ``name@alias``."""

Config = Mapping[str, Any]
"""How to prune; README.md and ``/v1/schemas/config`` tell what it may say."""

Preset = Literal["imagenet", "unit", "symmetric", "from-data"]
"""How pixels become inputs: as torchvision's networks take them, from 0 to 1, from -1 to 1, or by
mean and std of the training samples."""

Preprocess = Preset | Mapping[str, Any]
"""A preset, or more: ``{"preset": "imagenet", "resize": [224, 224]}``, ``{"mean": [0.5], "std":
[0.5]}``."""

Variant = Literal["pruned", "base"]
"""The model that is named, or the one that it was pruned from."""


class ModelOptions(TypedDict, total=False):
    """What goes beside a model's file.

    Attributes:
        name: The file's own unless given; files of one name are its versions.
        architecture: Of a safetensors file: ``torchvision/NAME`` or ``timm/NAME``.
        num_classes: Of that architecture.
        in_channels: Likewise.
        image_size: Side of its square images, in pixels.
    """

    name: str
    architecture: str
    num_classes: int
    in_channels: int
    image_size: int


class JobOptions(TypedDict, total=False):
    """What a job may bring beside model, data and config.

    Attributes:
        metadata: Of the user's own.
        start_within_seconds: A job that has not begun by then expires.
        time_limit_seconds: Of running, over all attempts.
        max_attempts: How often it is tried when a worker is lost.
        webhook: ``url``, ``secret`` and ``events``: who is told about it.
    """

    metadata: Mapping[str, str]
    start_within_seconds: float
    time_limit_seconds: float
    max_attempts: int
    webhook: Mapping[str, Any]

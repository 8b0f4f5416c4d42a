"""The types of arguments that several methods share."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from secateur.types import Dataset, JobData, Model

AnyPath = str | os.PathLike[str]

ModelLike = Model | str | Path
"""A model, its id (``mdl_…``) or name, or a file to upload."""

DataLike = Dataset | str | Path
"""A data set, its id (``ds_…``) or name, or a file to upload."""

Servable = Model | JobData | str
"""A model, a job with a result, or an id, a name, ``name@version`` or ``name@alias``."""

Config = Mapping[str, Any]
"""How to prune; README.md and ``/v1/schemas/config`` describe its keys."""

Preset = Literal["imagenet", "unit", "symmetric", "from-data"]
"""How pixels become inputs: with ImageNet's mean and std, in [0, 1], in [-1, 1], or with the mean
and std of the training samples."""

Preprocess = Preset | Mapping[str, Any]
"""A preset, or a mapping: ``{"preset": "imagenet", "resize": [224, 224]}``, ``{"mean": [0.5],
"std": [0.5]}``."""

Variant = Literal["pruned", "base", "int8"]
"""The named model, the model that it was pruned from, or its int8 form."""


class ModelOptions(TypedDict, total=False):
    """Options of a model's upload.

    Attributes:
        name: The model's name; default: the file's name. Files with the same name are versions.
        architecture: Required for a safetensors file: ``torchvision/NAME`` or ``timm/NAME``.
        num_classes: The architecture's number of classes.
        in_channels: The architecture's number of input channels.
        image_size: The side of the architecture's square input, in pixels.
    """

    name: str
    architecture: str
    num_classes: int
    in_channels: int
    image_size: int


Goal = Literal["faster", "smaller", "accurate", "balanced"]
"""What to aim at, in place of a config: twice as fast, half the size, the smallest network that
loses at most one point, or 30 % fewer multiply-accumulates. `Client.goals` lists them."""


class JobOptions(TypedDict, total=False):
    """Options of a job besides model, data and config.

    Attributes:
        name: Your name for the job.
        tags: Words to find the job by.
        metadata: Key-value pairs of your own, stored with the job.
        start_within_seconds: The job expires if it has not started by then.
        time_limit_seconds: The largest running time, over all attempts.
        max_attempts: The largest number of attempts in a row without a new checkpoint, if workers
            are lost.
        webhook: ``url``, ``secret`` and ``events`` of a webhook that reports the job's end.
    """

    name: str
    tags: Sequence[str]
    metadata: Mapping[str, str]
    start_within_seconds: float
    time_limit_seconds: float
    max_attempts: int
    webhook: Mapping[str, Any]

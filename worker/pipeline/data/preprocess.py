"""Resolve a preprocessing spec against the data, and summarise the resulting inputs."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from app.contracts.spec import NO_PREPROCESS, PreprocessSpec, SplitSpec
from secateur.engine.errors import DataError
from worker.pipeline.data.dataset import Dataset
from worker.pipeline.data.raw import RawData
from worker.pipeline.data.splits import Split

_NUM_SEEN = 512
_BYTE = 255.0
_SLACK = 1.5  # resizing or noise may push floats slightly outside [0, 1]
_COLOURS = 3


def with_colours(spec: PreprocessSpec) -> PreprocessSpec:
    """Return the spec for image files; three means imply RGB."""
    if spec.channels is None and len(spec.mean) == _COLOURS:
        return spec.model_copy(update={"channels": "rgb"})
    return spec


def with_numbers(raw: RawData, spec: PreprocessSpec, split: SplitSpec) -> Dataset:
    """Return the data set with its preprocessing resolved to numbers.

    Raises:
        DataError: A preset does not fit the samples.
    """
    is_bytes = raw.rows.dtype == np.uint8
    if raw.fit is not None:
        spec = spec.model_copy(update={"fit": raw.fit})
    if not spec.is_given and is_bytes and len(raw.rows.sample_shape) > 1:  # pixels, not features
        raw = replace(raw, notes=(*raw.notes, NO_PREPROCESS))
    if spec.preset is None:
        return Dataset(raw, spec, split)
    num_channels = raw.rows.sample_shape[0]
    if len(spec.mean) not in {1, num_channels}:
        raise DataError(
            f"preset {spec.preset!r} is for {len(spec.mean)} channels, but the samples have "
            f"{num_channels}: use 'from-data', or give mean and std"
        )
    if spec.waits_for_data:
        spec = _from_data(Dataset(raw, spec, split), spec)
    elif not is_bytes and spec.preset != "from-data" and spec.scale is None:
        spec, note = _for_floats(raw, spec)
        raw = replace(raw, notes=(*raw.notes, note)) if note else raw
    return Dataset(raw, spec, split)


def network_sees(dataset: Dataset) -> dict[str, Any]:
    """Return range, mean and std of the network's inputs over some preprocessed samples."""
    indices = _some(dataset.indices(Split.TRAIN))
    if len(indices) == 0:
        indices = _some(torch.arange(len(dataset)))
    x = torch.cat([dataset.batch(part)[0].double().flatten() for part in indices.split(64)])
    x = x[torch.isfinite(x)]
    if len(x) == 0:
        return {}
    std, mean = torch.std_mean(x, correction=0)
    found = {"min": x.min(), "max": x.max(), "mean": mean, "std": std}
    return {
        **{name: float(f"{value.item():.4g}") for name, value in found.items()},
        "num_samples": len(indices),
    }


def _from_data(dataset: Dataset, spec: PreprocessSpec) -> PreprocessSpec:
    found = dataset.statistics
    if found.mean is None or found.std is None:
        raise DataError(
            "preset 'from-data' needs finite samples, but some hold NaN or infinity: remove them"
        )
    flat = [number for number, value in enumerate(found.std) if value == 0]
    if flat:
        raise DataError(
            f"preset 'from-data': channel {flat[0]} has the same value in all training samples, so "
            "its std is 0: give mean and std"
        )
    mean, std = (tuple(float(f"{v:.6g}") for v in values) for values in (found.mean, found.std))
    return spec.model_copy(update={"mean": mean, "std": std})


def _for_floats(raw: RawData, spec: PreprocessSpec) -> tuple[PreprocessSpec, str | None]:
    """Scale floats up to 255 for a preset, which is for pixels from 0 to 1; note other ranges."""
    chosen = _some(torch.arange(len(raw.rows))).numpy()
    x = raw.rows.read(chosen)
    low, high = float(x.min()), float(x.max())
    if low >= 0 and _SLACK < high <= _BYTE:
        note = f"the samples are floats up to {high:g} and are divided by 255 first"
        return spec.model_copy(update={"scale": 1 / _BYTE}), note
    if low < -(_SLACK - 1) or high > _SLACK:
        return spec, (
            f"preset {spec.preset!r} is for pixels from 0 to 1, but the samples range from "
            f"{low:.4g} to {high:.4g}: if they are already normalised, omit the preset"
        )
    return spec, None


def _some(indices: torch.Tensor) -> torch.Tensor:
    """Return at most `_NUM_SEEN` indices, evenly spaced."""
    if len(indices) <= _NUM_SEEN:
        return indices
    return indices[torch.linspace(0, len(indices) - 1, _NUM_SEEN).long()]

"""Find files that the service has stored already, so that they are not uploaded again."""

import hashlib
from pathlib import Path
from typing import TypeVar

from secateur import Client, Dataset, Model
from secateur.options import Preprocess

Item = TypeVar("Item", Dataset, Model)

_MOST_LISTED = 200  # the newest ones; an older file is uploaded again


def find_dataset(client: Client, path: Path, preprocess: Preprocess | None) -> Dataset | None:
    """Return the newest data set with the file's bytes and this preprocessing, if there is one."""
    alike = [item for item in client.datasets(_MOST_LISTED) if _may_be(item, path)]
    asked: dict[str, object] = (
        {"preset": preprocess} if isinstance(preprocess, str) else dict(preprocess or {})
    )
    for found in _with_bytes(alike, path):
        if _is_same(found.preprocess, asked):
            return found
    return None


def find_model(client: Client, path: Path, name: str | None) -> Model | None:
    """Return the newest model with the file's bytes and this name, if there is one."""
    alike = [
        item
        for item in client.models(_MOST_LISTED)
        if _may_be(item, path) and item.job is None and name in {None, item.name}
    ]
    return next(iter(_with_bytes(alike, path)), None)


def _may_be(item: Dataset | Model, path: Path) -> bool:
    return item.status == "ready" and item.num_bytes == path.stat().st_size


def _with_bytes(alike: list[Item], path: Path) -> list[Item]:
    """Return the items with the file's hash. The file is read only if a size fits."""
    if not alike:
        return []
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return [item for item in alike if item.sha256 == digest]


def _is_same(known: dict[str, object], asked: dict[str, object]) -> bool:
    """Return whether preprocessing is as asked; a preset's numbers may depend on the data."""
    from app.contracts.spec import PreprocessSpec  # noqa: PLC0415  # slow, and seldom needed

    try:
        stored, spec = PreprocessSpec.model_validate(known), PreprocessSpec.model_validate(asked)
    except ValueError:
        return False  # the service says what is wrong when the file is uploaded
    if (stored.preset, stored.resize, stored.channels) != (
        spec.preset,
        spec.resize,
        spec.channels,
    ):
        return False
    numbers = ("scale", "mean", "std")
    return spec.preset is not None or all(
        getattr(stored, name) == getattr(spec, name) for name in numbers
    )

"""Which columns of a Parquet file are images, labels and splits, by type, name and metadata."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from secateur.engine.errors import DataError
from worker.pipeline.data.object_column import NAMES as _OBJECTS
from worker.pipeline.data.object_column import has_boxes

# In order of preference.
_IMAGES = ("image", "img", "images", "picture", "photo", "jpg", "jpeg", "png", "pixels", "bytes")
_LABELS = ("label", "labels", "y", "target", "targets", "class", "category", "fine_label")
_BINARY = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)


@dataclass(frozen=True)
class Columns:
    """Columns to read from a Parquet file.

    Attributes:
        image: The image column.
        image_path: Path of the leaf that holds the images' bytes.
        label: The label column, if any.
        objects: The column with boxes instead, if any.
        class_names: Names of their integer classes, if the file gives them.
        split: True if there is a column ``split``.
        unused: The other columns.
    """

    image: str
    image_path: str
    label: str | None
    objects: str | None
    class_names: list[str] | None
    split: bool
    unused: tuple[str, ...]


def find_columns(schema: Any) -> Columns:  # noqa: ANN401  # pyarrow has no types
    """Choose the columns to read from a schema.

    Raises:
        DataError: No column holds images, or several could.
    """
    names = list(schema.names)
    if len(set(names)) != len(names):
        raise DataError(
            f"the Parquet file has two columns of the same name: {', '.join(names)[:200]}"
        )
    features = _features(schema)
    image, path = _image(schema, names)
    label = _first(names, _LABELS) or _only_class_label(names, features)
    if label == image:
        label = None
    has_split = "split" in names
    objects = None if label is not None else _objects(schema, names)
    used = {image, label, objects, "split"}
    unused = tuple(name for name in names if name not in used)
    class_names = _class_names_within(features.get(objects or label or ""))
    return Columns(image, path, label, objects, class_names, has_split, unused)


def _image(schema: Any, names: list[str]) -> tuple[str, str]:  # noqa: ANN401  # likewise
    """Return the column with the images, and the path of the leaf with their bytes."""
    paths = {name: _bytes_path(name, schema.field(name).type) for name in names}
    found = [name for name in names if paths[name] is not None]
    known = _first(names, _IMAGES)
    if known in found:
        chosen = known
    elif len(found) == 1:
        chosen = found[0]
    elif known is not None:
        raise DataError(
            f"column {known!r} has type {str(schema.field(known).type)[:80]}; it must be binary, "
            "or a struct with 'bytes': the images themselves, not their paths"
        )
    else:
        which = f"it could be any of {', '.join(found)}" if found else "none holds bytes"
        raise DataError(
            f"the Parquet file needs one column 'image' with the bytes of images; it has "
            f"{', '.join(names)}, and {which}"[:300]
        )
    path = paths[chosen]
    assert path is not None  # noqa: S101  # chosen from `found`
    return chosen, path


def _bytes_path(name: str, type_: Any) -> str | None:  # noqa: ANN401  # likewise
    if any(is_kind(type_) for is_kind in _BINARY):
        return name
    if pa.types.is_struct(type_):
        index = type_.get_field_index("bytes")
        if index >= 0 and any(is_kind(type_.field(index).type) for is_kind in _BINARY):
            return f"{name}.bytes"
    return None


def _first(names: Sequence[str], known: Sequence[str]) -> str | None:
    """Return the column with the most preferred known name, ignoring case."""
    by_name = {name.casefold(): name for name in reversed(names)}
    return next((by_name[name] for name in known if name in by_name), None)


def _features(schema: Any) -> Mapping[str, Any]:  # noqa: ANN401  # likewise
    """Return the column metadata that Hugging Face's ``datasets`` stores with the schema."""
    try:
        found = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _only_class_label(names: Sequence[str], features: Mapping[str, Any]) -> str | None:
    found = [name for name in names if _class_names(features.get(name)) is not None]
    return found[0] if len(found) == 1 else None


def _objects(schema: Any, names: Sequence[str]) -> str | None:  # noqa: ANN401  # likewise
    """Return the column with boxes."""
    found = [name for name in names if has_boxes(schema.field(name).type)]
    return _first(found, _OBJECTS) or (found[0] if len(found) == 1 else None)


def _class_names_within(feature: Any) -> list[str] | None:  # noqa: ANN401  # decoded JSON
    """Return the names of a feature, or of the only named one in a struct or a list of structs."""
    if isinstance(feature, list) and len(feature) == 1:
        feature = feature[0]
    if not isinstance(feature, dict) or _class_names(feature) is not None:
        return _class_names(feature)
    inner = feature.get("feature", feature)
    parts = list(inner.values()) if isinstance(inner, dict) else []
    named = [names for part in parts if (names := _class_names_in_list(part)) is not None]
    return named[0] if len(named) == 1 else None


def _class_names_in_list(feature: Any) -> list[str] | None:  # noqa: ANN401  # likewise
    inner = feature.get("feature", feature) if isinstance(feature, dict) else None
    inner = feature[0] if isinstance(feature, list) and len(feature) == 1 else inner
    return _class_names(inner)


def _class_names(feature: Any) -> list[str] | None:  # noqa: ANN401  # decoded JSON
    names = feature.get("names") if isinstance(feature, dict) else None
    return [str(name) for name in names] if isinstance(names, list) and names else None

"""``data.yaml`` of YOLO folders: names of the classes, and the keypoints of a pose data set."""

from dataclasses import dataclass
from typing import Any

import yaml

from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
from worker.pipeline.data.archives import Archive
from worker.pipeline.data.layouts.files import File, read_text

_MOST_YAML = 2**20  # bytes


@dataclass(frozen=True)
class Points:
    """Keypoints of a data set.

    Attributes:
        names: Their names, or their numbers.
        num_values: 2 for x and y, 3 with the visibility.
        are_named: Whether the file names them.
    """

    names: list[str]
    num_values: int
    are_named: bool


@dataclass(frozen=True)
class Yaml:
    """Names of the classes, and the keypoints; None without any."""

    names: list[str]
    points: Points | None


def read_yaml(archive: Archive, file: File, limits: LimitSettings) -> Yaml | None:
    """Return what a YAML file says; None if it names no classes.

    Raises:
        DataError: It is not YAML, or it contradicts itself.
        DataTooLargeError: It names too many classes.
    """
    if file.member.num_bytes > _MOST_YAML:
        return None
    text = read_text(archive, file, limits)
    if "names" not in text:
        return None
    try:
        content: Any = _load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DataError(f"{file.shown} is not YAML: {str(error)[:200]}") from error
    names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise DataError(f"'names' in {file.shown} must have the keys 0 to {len(names) - 1}")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or not names:
        return None
    if len(names) > limits.classes:
        raise DataTooLargeError(
            f"{file.shown} names {len(names)} classes, at most {limits.classes}"
        )
    return Yaml([str(name)[:200] for name in names], _points(content, file, limits))


def _points(content: Any, file: File, limits: LimitSettings) -> Points | None:  # noqa: ANN401  # YAML
    """Return the keypoints that a YAML file declares with ``kpt_shape``."""
    shape = content.get("kpt_shape")
    if shape is None:
        return None
    is_shape = isinstance(shape, list) and len(shape) == 2 and shape[1] in {2, 3}  # noqa: PLR2004
    if not is_shape or not isinstance(shape[0], int) or not 0 < shape[0] <= limits.classes:
        raise DataError(
            f"'kpt_shape' in {file.shown} is {str(shape)[:60]}; it is the number of keypoints, and "
            "2 or 3 for the numbers of each"
        )
    found: Any = content.get("kpt_names")
    named = found.get(0) if isinstance(found, dict) else found
    given = named if isinstance(named, list) and len(named) == shape[0] else None
    names = [str(name)[:200] for name in (range(shape[0]) if given is None else given)]
    return Points(names, shape[1], given is not None)


def _load(text: str) -> Any:  # noqa: ANN401  # YAML
    """Parse YAML without aliases, which may stand for more text than there is memory."""
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        if isinstance(token, yaml.AliasToken):
            raise ValueError("aliases are not accepted")  # noqa: TRY004  # a value, not a type
    return yaml.safe_load(text)

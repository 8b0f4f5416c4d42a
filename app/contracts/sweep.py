"""A grid over the pruning config, expanded into the configs of its points. Pure code.

Keys are JSON pointers (RFC 6901) into the config; the points are the cross product of the values,
in the order the keys were sent, the last one varying fastest.
"""

import copy
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from app.contracts.errors import ErrorDetail, InvalidInputError
from app.contracts.spec import PruneConfig

MAX_POINTS = 256
MAX_VALUES = 64
MAX_KEYS = 8

Json = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """One point of a grid.

    Attributes:
        values: By pointer.
        sent: The config that this makes, as a user would have sent it.
        config: The same, checked and with every default.
    """

    values: Json
    sent: Json
    config: PruneConfig


def expand(config: Json, grid: Mapping[str, Sequence[Any]]) -> tuple[Point, ...]:
    """Return the points of a grid, in order.

    Raises:
        InvalidInputError: A pointer leads nowhere, there are too many points or two alike, or one
            makes a config that is not accepted; pointers say which.
    """
    if not 1 <= len(grid) <= MAX_KEYS:
        raise InvalidInputError(f"the grid has {len(grid)} keys, 1 to {MAX_KEYS} are accepted")
    num_points = 1
    for pointer, values in grid.items():
        if not 1 <= len(values) <= MAX_VALUES:
            raise InvalidInputError(
                f"{pointer} has {len(values)} values, 1 to {MAX_VALUES} are accepted",
                details=[ErrorDetail(_below("/grid", pointer), f"{len(values)} values")],
            )
        num_points *= len(values)
    if num_points > MAX_POINTS:
        raise InvalidInputError(f"the grid has {num_points} points, at most {MAX_POINTS}")
    points = [
        _point(config, dict(zip(grid, values, strict=True)))
        for values in itertools.product(*grid.values())
    ]
    seen: dict[str, Json] = {}
    for point in points:
        key = point.config.model_dump_json()
        if key in seen:
            raise InvalidInputError(
                f"two points are the same job: {json.dumps(seen[key])} and "
                f"{json.dumps(point.values)}"
            )
        seen[key] = point.values
    return tuple(points)


def _point(config: Json, values: Json) -> Point:
    sent = copy.deepcopy(config)
    for pointer, value in values.items():
        _set(sent, pointer, copy.deepcopy(value))
    try:
        return Point(values, sent, PruneConfig.model_validate(sent))
    except ValidationError as error:
        shown = json.dumps(values)
        details = [
            ErrorDetail("/config" + "".join(f"/{part}" for part in item["loc"]), str(item["msg"]))
            for item in error.errors()
        ]
        raise InvalidInputError(
            f"the point {shown[:200]} makes no config: {details[0].pointer}: {details[0].detail}",
            details=details,
        ) from error


def _set(config: Json, pointer: str, value: Any) -> None:  # noqa: ANN401  # any JSON
    if not pointer.startswith("/") or pointer == "/":
        raise InvalidInputError(
            f"{pointer[:100]!r} is no JSON pointer into the config, such as /selection/macs",
            details=[ErrorDetail(_below("/grid", pointer), "not a JSON pointer")],
        )
    *path, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
    target: Any = config
    for part in path:
        target = target.setdefault(part, {}) if isinstance(target, dict) else None
    if not isinstance(target, dict):
        raise InvalidInputError(
            f"{pointer[:100]!r} leads through a value that has no keys",
            details=[ErrorDetail(_below("/grid", pointer), "leads nowhere")],
        )
    target[last] = value


def _below(prefix: str, key: str) -> str:
    """Return the JSON pointer of a key of the object at ``prefix``."""
    return f"{prefix}/{key.replace('~', '~0').replace('/', '~1')}"

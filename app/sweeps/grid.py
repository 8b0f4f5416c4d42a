"""A grid over the pruning config, expanded into the configs of its points. Pure code.

Keys are JSON pointers (RFC 6901) into the config; the points are the cross product of the values,
in the order the keys were sent, the last one varying fastest.
"""

import copy
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from app.contracts.complaints import complaints
from app.contracts.errors import ErrorDetail, InvalidInputError
from app.contracts.spec import PruneConfig

MAX_POINTS = 256
MAX_VALUES = 64
MAX_KEYS = 8
_MAX_SHOWN = 200

Json = dict[str, Any]


@dataclass(frozen=True)
class Point:
    """Point of a grid.

    Attributes:
        values: Values by pointer.
        indices: Index of each value among its key's values.
        sent: The point's config, as a user would send it.
    """

    values: Json
    indices: tuple[int, ...]
    sent: Json

    @cached_property
    def config(self) -> PruneConfig:
        """The point's config, validated and with every default.

        Raises:
            InvalidInputError: The config is invalid.
        """
        try:
            return PruneConfig.model_validate(self.sent)
        except ValidationError as error:
            details = complaints(error, PruneConfig, "/config")
            first = details[0]
            raise self.refusal(f"{first.pointer}: {first.detail}", details) from error

    @property
    def shown(self) -> str:
        """The values, formatted for a message."""
        return json.dumps(self.values)[:_MAX_SHOWN]

    def details(self, detail: str) -> list[ErrorDetail]:
        """Return pointers to this point's values in the request."""
        return [
            ErrorDetail(f"{_below('/grid', key)}/{index}", detail)
            for key, index in zip(self.values, self.indices, strict=True)
        ]

    def refusal(self, reason: str, details: Sequence[ErrorDetail]) -> InvalidInputError:
        """Return an error that identifies this point and the reason."""
        message = f"the point {self.shown} is not a valid job: {reason}"
        return InvalidInputError(
            message, details=[*details, *self.details("belongs to this point")]
        )


def expand(config: Json, grid: Mapping[str, Sequence[Any]]) -> tuple[Point, ...]:
    """Return the points of a grid, in order.

    Raises:
        InvalidInputError: A pointer has no target, there are too many points, two points are
            equal, or a config is invalid; pointers say which.
    """
    if not 1 <= len(grid) <= MAX_KEYS:
        raise InvalidInputError(f"the grid has {len(grid)} keys; 1 to {MAX_KEYS} are accepted")
    num_points = 1
    for pointer, values in grid.items():
        if not 1 <= len(values) <= MAX_VALUES:
            raise InvalidInputError(
                f"{pointer} has {len(values)} values; 1 to {MAX_VALUES} are accepted",
                details=[ErrorDetail(_below("/grid", pointer), f"{len(values)} values")],
            )
        num_points *= len(values)
    if num_points > MAX_POINTS:
        raise InvalidInputError(
            f"the grid has {num_points} points; at most {MAX_POINTS} are accepted"
        )
    points = tuple(
        _point(config, grid, indices)
        for indices in itertools.product(*(range(len(values)) for values in grid.values()))
    )
    refuse_duplicates(points, [point.config for point in points])
    return points


def refuse_duplicates(points: Sequence[Point], configs: Sequence[PruneConfig]) -> None:
    """Refuse two points with the same config.

    Raises:
        InvalidInputError: Two configs are equal; pointers name both points.
    """
    seen: dict[str, Point] = {}
    for point, config in zip(points, configs, strict=True):
        first = seen.setdefault(config.model_dump_json(), point)
        if first is not point:
            raise InvalidInputError(
                f"two points give the same job: {first.shown} and {point.shown}",
                details=[
                    *first.details("belongs to the first point"),
                    *point.details("belongs to the second point"),
                ],
            )


def _point(config: Json, grid: Mapping[str, Sequence[Any]], indices: Sequence[int]) -> Point:
    values = {
        pointer: choices[index]
        for (pointer, choices), index in zip(grid.items(), indices, strict=True)
    }
    sent = copy.deepcopy(config)
    for pointer, value in values.items():
        _set(sent, pointer, copy.deepcopy(value))
    return Point(values, tuple(indices), sent)


def _set(config: Json, pointer: str, value: Any) -> None:  # noqa: ANN401  # any JSON
    if not pointer.startswith("/") or pointer == "/":
        raise InvalidInputError(
            f"{pointer[:100]!r} is not a JSON pointer into the config, such as /selection/macs",
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

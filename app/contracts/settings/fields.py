"""Types that the groups of settings share."""

import re
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MEBIBYTE = 1024**2
GIBIBYTE = 1024**3

_BYTES_BY_UNIT = {"": 1, "b": 1} | {
    unit: factor**power
    for power, letter in enumerate("kmgtp", 1)
    for unit, factor in ((f"{letter}ib", 1024), (f"{letter}b", 1000))
}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)")


def _parse_size(value: object) -> object:
    """Return the bytes of a size such as ``2 GiB``; return other values unchanged."""
    match = _SIZE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is None or match[2] not in _BYTES_BY_UNIT:
        return value
    return int(float(match[1]) * _BYTES_BY_UNIT[match[2]]) if match[2] else match[1]


Seconds = Annotated[float, Field(gt=0)]
Days = Annotated[float, Field(gt=0, le=36_500)]
Bytes = Annotated[int, BeforeValidator(_parse_size), Field(gt=0)]
Count = Annotated[int, Field(gt=0)]


class Group(BaseModel):
    """A group of settings: unknown names are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

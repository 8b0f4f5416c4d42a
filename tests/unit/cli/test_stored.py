"""A file is reused only with the same preprocessing."""

from typing import Any

import pytest

from app.cli.stored import _is_same
from app.contracts.spec import PreprocessSpec


def stored(**spec: Any) -> dict[str, Any]:
    return PreprocessSpec.model_validate(spec).model_dump(mode="json")


@pytest.mark.parametrize(
    ("known", "asked", "is_same"),
    [
        (stored(), {}, True),
        (stored(preset="unit"), {"preset": "unit"}, True),
        (stored(preset="unit"), {}, False),
        (stored(preset="from-data") | {"mean": [0.3], "std": [0.2]}, {"preset": "from-data"}, True),
        (stored(mean=[0.5], std=[0.5]), {"mean": [0.5], "std": [0.5]}, True),
        (stored(mean=[0.5], std=[0.5]), {"mean": [0.4], "std": [0.5]}, False),
        (stored(resize=[8, 8]), {}, False),
        (stored(), {"mean": "x"}, False),  # the service refuses it
        (stored() | {"unknown": 1}, {}, False),  # of a newer service
    ],
)
def test_preprocessing_is_compared(
    known: dict[str, Any], asked: dict[str, Any], *, is_same: bool
) -> None:
    assert _is_same(known, asked) is is_same

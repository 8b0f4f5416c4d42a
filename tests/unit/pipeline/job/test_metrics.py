"""Conversion of measured numbers for the report."""

import pytest

from worker.pipeline.job.metrics import finite


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1.5, 1.5), (None, None), (float("nan"), None), (float("inf"), None), (0.0, 0.0)],
)
def test_a_number_that_json_cannot_hold_becomes_null(
    value: float | None, expected: float | None
) -> None:
    assert finite(value) == expected

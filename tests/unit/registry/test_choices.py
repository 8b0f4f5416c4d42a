"""Which version of an alias a request gets, and what a reference means."""

import random
from collections import Counter

import pytest

from app.registry.resolve import Choice, choose, split_reference

CHOICES = [Choice("m1", "net", "1", 90), Choice("m2", "net", "2", 10)]


def test_each_version_has_its_share() -> None:
    counts = Counter(choose(CHOICES, n / 1000).version for n in range(1000))
    assert counts == {"1": 900, "2": 100}
    assert choose(CHOICES, 1.0).version == "2"
    dice = random.Random(0)  # noqa: S311  # no secrets
    counts = Counter(choose(CHOICES, dice.random()).version for _ in range(10_000))
    assert counts["2"] == pytest.approx(1000, rel=0.15)


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("net", ("net", None)),
        ("net@production", ("net", "production")),
        ("net@2", ("net", "2")),
        ("a@b@c", ("a@b", "c")),
        ("net@", ("net@", None)),
        ("@net", ("@net", None)),
    ],
)
def test_a_reference_ends_with_a_version_or_alias(
    reference: str, expected: tuple[str, str | None]
) -> None:
    assert split_reference(reference) == expected

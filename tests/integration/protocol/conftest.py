"""One real server with small models for all tests of the protocol."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.serving import Serving, identity, scaled, serving, sum_and_difference


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder: Path = tmp_path_factory.mktemp("protocol") / "data"
    with serving(folder, limits={"infer_bytes": 1_000_000}) as found:
        found.add_model("echo", identity(), class_names=["cat", "dog"])
        found.add_model("pair", sum_and_difference())
        for factor in (1.0, 2.0, 3.0):
            found.add_model("scaled", scaled(factor))
        yield found


@pytest.fixture(scope="package")
def headers(served: Serving) -> dict[str, str]:
    return served.key()

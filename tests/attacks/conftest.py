"""One process that reads hostile files, shared by the tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.attacks.files.reading import ReadingChild


@pytest.fixture(scope="session")
def child() -> Iterator[ReadingChild]:
    """A process that reads files as a job does."""
    found = ReadingChild()
    yield found
    found.stop()

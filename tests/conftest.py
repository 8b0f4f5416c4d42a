"""Fixtures for all layers: real servers, started once a session."""

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.services import (
    S3Server,
    fresh_schema_url,
    running_postgresql,
    running_redis,
    running_s3,
)

# Tests run side by side, a process a core or more: each, and what it starts, has one thread.
# Set before torch is imported; two pools of spinning threads on the same cores take ten times as
# long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What is imported and collected lives as long as the process, and every full garbage collection
# would look through all of it again: half of the CPU time of collecting tests went there.
gc.disable()

# Files are shared out whole, in this order: those that wait for real jobs begin, since one of them
# that is left to the end is waited for by everybody.
_LONGEST = ("docs", "e2e", "chaos", "faults", "integration", "property", "corpus")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    folder = Path(__file__).parent
    items.sort(key=lambda item: _place(item.path.relative_to(folder).parts[0]))


def pytest_collection_finish() -> None:
    """Collect garbage again, but only that of tests."""
    gc.freeze()
    gc.enable()


def _place(name: str) -> int:
    return _LONGEST.index(name) if name in _LONGEST else len(_LONGEST)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis on a unix socket, in Celery's spelling."""
    with running_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A real PostgreSQL server."""
    # Not below pytest's folder: the next pytest to start closes that to PostgreSQL's own user.
    with (
        tempfile.TemporaryDirectory(prefix="postgresql-") as folder,
        running_postgresql(Path(folder)) as url,
    ):
        yield url


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A server that speaks S3, with one bucket."""
    with running_s3() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'test.db'}"
    return fresh_schema_url(request.getfixturevalue("postgresql_server"))

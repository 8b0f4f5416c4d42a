"""Servers that only the tests of this folder use, because they stop them."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.parts import PostgreSQL, Redis, running_own_redis


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    with running_own_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    # Not below pytest's folder: the next pytest to start closes that to PostgreSQL's own user.
    with tempfile.TemporaryDirectory(prefix="own-postgresql-") as folder:
        server = PostgreSQL(Path(folder))
        yield server
        server.close()

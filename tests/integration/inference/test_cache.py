"""Cached sessions: loaded once, replaced without a gap, released on demand."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from app.contracts.errors import UnavailableError
from app.contracts.settings import InferenceSettings, StorageSettings
from app.inference.batcher import Batcher, BatchLimits
from app.inference.cache import SessionCache
from app.inference.runs import Runs
from app.inference.sessions import LoadedModel
from app.objects.storage import ObjectStore, open_store
from tests.fixtures.api import write_linear_onnx


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as found:
        yield found


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(f"file://{tmp_path / 'objects'}", StorageSettings())


def put(store: ObjectStore, folder: Path, value: float) -> tuple[str, int]:
    path = folder / "m.onnx"
    write_linear_onnx(path, np.full((4, 3), value), ["batch", 1, 2, 2])
    return store.put_file(path), path.stat().st_size


def make(store: ObjectStore, threads: ThreadPoolExecutor, cache_bytes: int) -> SessionCache:
    def batcher(_sha256: str, _model: LoadedModel, max_items: int) -> Batcher:
        def compute(*_: object) -> "asyncio.Future[object]":
            return asyncio.get_running_loop().create_future()

        return Batcher(compute, BatchLimits(max_items, 1, 1), Runs(1))  # type: ignore[arg-type]

    settings = InferenceSettings(cache_bytes=cache_bytes, max_batch_items=1)
    return SessionCache(settings, store, batcher, threads)


def test_a_cold_session_is_loaded_once_and_the_oldest_leaves_when_bytes_run_out(
    store: ObjectStore, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    (first, size), (second, _), (third, _) = (put(store, tmp_path, v) for v in (1.0, 2.0, 3.0))

    async def test() -> None:
        cache = make(store, threads, 2 * size + 10)
        found = await asyncio.gather(*(cache.get(first) for _ in range(8)))
        assert len({id(loaded) for loaded in found}) == 1
        await cache.get(second)
        await cache.get(first)  # used again: the second is the oldest now
        await cache.get(third)
        assert (cache.num_loaded, cache.num_bytes) == (2, 2 * size)
        assert await cache.get(first) is found[0]
        assert found[0].model.session.run(None, {"input": np.ones((1, 1, 2, 2), np.float32)})

    asyncio.run(test())


def test_a_model_larger_than_the_cache_is_held_alone(
    store: ObjectStore, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    (first, _), (second, _) = (put(store, tmp_path, v) for v in (1.0, 2.0))

    async def test() -> None:
        cache = make(store, threads, 1)
        await cache.get(first)
        await cache.get(second)
        assert cache.num_loaded == 1

    asyncio.run(test())


def test_a_session_is_let_go_of_and_loaded_again(
    store: ObjectStore, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    sha256, _ = put(store, tmp_path, 1.0)

    async def test() -> None:
        cache = make(store, threads, 1000)
        loaded = await cache.get(sha256)
        assert cache.drop(sha256)
        assert not cache.drop(sha256)
        assert cache.num_loaded == 0
        assert await cache.get(sha256) is not loaded

    asyncio.run(test())


def test_a_disconnect_during_loading_does_not_affect_other_requests(
    store: ObjectStore, threads: ThreadPoolExecutor, tmp_path: Path
) -> None:
    sha256, _ = put(store, tmp_path, 1.0)

    async def test() -> None:
        cache = make(store, threads, 1000)
        impatient, patient = (asyncio.create_task(cache.get(sha256)) for _ in range(2))
        await asyncio.sleep(0)
        impatient.cancel()
        assert await patient is await cache.get(sha256)

    asyncio.run(test())


def test_a_missing_file_is_reported(store: ObjectStore, threads: ThreadPoolExecutor) -> None:
    async def test() -> None:
        cache = make(store, threads, 1000)
        for _ in range(2):
            with pytest.raises(UnavailableError, match="missing"):
                await cache.get("0" * 64)

    asyncio.run(test())

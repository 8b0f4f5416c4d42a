"""Models held by the serving process: loaded once, evicted by the memory they hold, unloaded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from app.contracts.errors import InvalidInputError, TooLargeError, UnavailableError
from app.contracts.settings import Settings
from app.inference.cache import SessionCache
from app.inference.service import InferenceService
from app.objects.storage import ObjectStore, open_store
from app.records.database import create_database, create_sessions
from tests.fixtures.api import write_linear_onnx
from tests.fixtures.serving import attention_over, folded_constant

TENANT = "default"


@asynccontextmanager
async def holding(
    folder: Path, **inference: object
) -> AsyncIterator[tuple[SessionCache, ObjectStore]]:
    settings = Settings(data_dir=folder, inference={"max_batch_items": 1, **inference})  # type: ignore[arg-type]
    engine = create_database(settings.database_url)
    store = open_store(settings.storage_url, settings.storage)
    service = InferenceService(settings, create_sessions(engine), store)
    await service.start()
    try:
        yield service.cache, store
    finally:
        await service.close()
        engine.dispose()


def put(store: ObjectStore, folder: Path, value: float) -> str:
    path = folder / "m.onnx"
    write_linear_onnx(path, np.full((4, 3), value), ["batch", 1, 2, 2])
    return store.put_file(path)


def put_bytes(store: ObjectStore, folder: Path, data: bytes) -> str:
    path = folder / "m.onnx"
    path.write_bytes(data)
    return store.put_file(path)


def test_a_model_is_loaded_once_unloaded_and_loaded_again(tmp_path: Path) -> None:
    async def test() -> None:
        async with holding(tmp_path) as (cache, store):
            first, second = (put(store, tmp_path, value) for value in (1.0, 2.0))
            found = await asyncio.gather(*(cache.get(TENANT, first) for _ in range(8)))
            assert len({id(loaded) for loaded in found}) == 1
            impatient, patient = (asyncio.create_task(cache.get(TENANT, second)) for _ in range(2))
            await asyncio.sleep(0)
            impatient.cancel()
            assert await patient is await cache.get(TENANT, second), "the others still get it"
            assert cache.num_loaded == 2
            assert cache.drop(TENANT, first)
            assert not cache.drop(TENANT, first)
            assert await cache.get(TENANT, first) is not found[0]
            for _ in range(2):
                with pytest.raises(UnavailableError, match="missing"):
                    await cache.get(TENANT, "0" * 64)

    asyncio.run(test())


def test_tenants_do_not_share_the_session_of_equal_files(tmp_path: Path) -> None:
    async def test() -> None:
        async with holding(tmp_path) as (cache, store):
            sha256 = put(store, tmp_path, 1.0)
            ours, theirs = await cache.get("a", sha256), await cache.get("b", sha256)
            assert ours.handle.key != theirs.handle.key
            assert cache.drop("a", sha256)
            assert await cache.get("b", sha256) is theirs

    asyncio.run(test())


def test_models_are_evicted_by_the_memory_that_they_hold_and_not_by_their_files(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with holding(tmp_path, cache_bytes=48 * 1024**2) as (cache, store):
            files = [folded_constant(value).SerializeToString() for value in (1.0, 2.0, 3.0)]
            assert sum(map(len, files)) < 10_000
            keys = [put_bytes(store, tmp_path, file) for file in files]
            loaded = [await cache.get(TENANT, key) for key in keys]
            assert all(one.model.num_bytes > 24 * 1024**2 for one in loaded), "each holds 32 MiB"
            assert cache.num_loaded == 1, "two do not fit, and the newest stays"

    asyncio.run(test())


def test_a_model_whose_one_item_takes_too_much_memory_is_refused_with_both_numbers(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with holding(tmp_path, run_bytes=8 * 1024**2) as (cache, store):
            key = put_bytes(store, tmp_path, attention_over(3000).SerializeToString())
            for _ in range(2):
                with pytest.raises(TooLargeError, match="at most 8388608 are allowed") as caught:
                    await cache.get(TENANT, key)
                taken = int(caught.value.message.split(" takes ")[1].split()[0])
                assert taken > 30 * 1024**2, "3000 x 3000 numbers"

    asyncio.run(test())


def test_a_file_that_was_stored_before_the_check_is_refused_before_it_is_opened(
    tmp_path: Path,
) -> None:
    async def test() -> None:
        async with holding(tmp_path) as (cache, store):
            model = folded_constant(1.0)
            tensor = model.graph.node[0].attribute[0].t
            tensor.data_location = tensor.EXTERNAL
            tensor.external_data.add(key="location", value="secateur.db")
            for data, words in ((model.SerializeToString(), "another file"), (b"x", "be read")):
                with pytest.raises(InvalidInputError, match=words):
                    await cache.get(TENANT, put_bytes(store, tmp_path, data))

    asyncio.run(test())

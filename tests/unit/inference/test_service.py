"""Queue states of models, loaded and not loaded, that the inference service reports."""

import asyncio
from pathlib import Path

from app.contracts.errors import Demand
from app.contracts.settings import Settings
from app.inference.batcher import Batcher, BatchLimits
from app.inference.cache import Key, Loaded
from app.inference.execution import Handle
from app.inference.runs import Runs
from app.inference.service import InferenceService
from app.objects.storage import open_store
from app.records.database import create_database, create_sessions

KEY = Key("default", "0" * 64)
MODEL = str(KEY)


def test_queues_are_found_by_model_and_unloaded_models_accept(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    store = open_store(settings.storage_url, settings.storage)
    engine = create_database(settings.database_url)

    async def ask() -> None:
        service = InferenceService(settings, create_sessions(engine), store)
        large = Demand(MODEL, num_items=9, num_bytes=1)
        assert service.accepts(large, 5), "not loaded: nothing waits"
        batcher = Batcher(lambda *_: asyncio.Future(), BatchLimits(1, 4, 100), Runs(1), MODEL)
        service.cache._loaded[KEY] = Loaded(None, batcher, Handle("", "", ""))  # type: ignore[arg-type]
        assert service.accepts(large, 0), "the queue is empty"
        assert not service.accepts(large, 1)
        assert service.accepts(Demand(MODEL, 2, 1), 1)
        assert not service.accepts(Demand(MODEL, 2, 1), 2)
        assert service.accepts(large._replace(model=str(Key("other", "0" * 64))), 1)
        await service.close()

    asyncio.run(ask())
    engine.dispose()

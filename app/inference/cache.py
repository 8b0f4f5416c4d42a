"""LRU cache of loaded models, bounded by bytes. A new model loads before an old one is evicted.

Used on the event loop. Sessions are opened, measured and destroyed on threads.
"""

import asyncio
import ctypes
import sys
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from app.contracts.errors import UnavailableError
from app.contracts.settings import InferenceSettings
from app.inference.batcher import Batcher
from app.inference.measure import measure_batch
from app.inference.sessions import LoadedModel, open_session
from app.objects.storage import ObjectStore

MakeBatcher = Callable[[str, LoadedModel, int], Batcher]


@dataclass(frozen=True)
class Loaded:
    """A loaded model and its queue."""

    model: LoadedModel
    batcher: Batcher


class SessionCache:
    """Loaded models by the SHA-256 of their file; evicts the least recently used.

    Concurrent requests for a missing model share one load. A run that still uses an evicted model
    keeps it alive until the run ends.
    """

    def __init__(
        self,
        settings: InferenceSettings,
        store: ObjectStore,
        make_batcher: MakeBatcher,
        threads: Executor,
    ) -> None:
        self._settings, self._store, self._threads = settings, store, threads
        self._make_batcher = make_batcher
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()
        self._loading: dict[str, asyncio.Task[Loaded]] = {}

    async def get(self, sha256: str) -> Loaded:
        """Return the model of a stored ONNX file, loading it if necessary.

        Raises:
            UnavailableError: The file cannot be fetched.
        """
        found = self._loaded.get(sha256)
        if found is not None:
            self._loaded.move_to_end(sha256)
            return found
        task = self._loading.get(sha256)
        if task is None:
            task = self._loading[sha256] = asyncio.create_task(self._load(sha256))
        return await asyncio.shield(task)  # others still wait if this request is cancelled

    def find(self, sha256: str) -> Loaded | None:
        """Return a model if it is loaded, else None."""
        return self._loaded.get(sha256)

    @property
    def num_loaded(self) -> int:
        """Number of loaded models."""
        return len(self._loaded)

    @property
    def num_bytes(self) -> int:
        """Total size of the loaded models' files in bytes."""
        return sum(loaded.model.num_bytes for loaded in self._loaded.values())

    @property
    def num_waiting(self) -> int:
        """Requests waiting in the queues of all models."""
        return sum(loaded.batcher.num_waiting for loaded in self._loaded.values())

    def drop(self, sha256: str) -> bool:
        """Evict a model; return whether it was loaded."""
        loaded = self._loaded.pop(sha256, None)
        if loaded is None:
            return False
        box = [loaded]
        del loaded
        asyncio.get_running_loop().run_in_executor(self._threads, partial(_destroy, box))
        return True

    async def _load(self, sha256: str) -> Loaded:
        loop = asyncio.get_running_loop()
        try:
            model, max_items = await loop.run_in_executor(self._threads, self._open, sha256)
            batcher = self._make_batcher(sha256, model, max_items)
            loaded = self._loaded[sha256] = Loaded(model, batcher)
            self._evict()
        except FileNotFoundError as error:
            raise UnavailableError("the model's file is missing") from error
        finally:
            del self._loading[sha256]
        return loaded

    def _open(self, sha256: str) -> tuple[LoadedModel, int]:
        model = open_session(b"".join(self._store.stream(sha256)), self._settings)
        return model, measure_batch(model, self._settings)

    def _evict(self) -> None:
        """Drop the least recently used models until the rest fits; keep the newest."""
        while self.num_bytes > self._settings.cache_bytes and len(self._loaded) > 1:
            self.drop(next(iter(self._loaded)))


def _destroy(box: list[Loaded]) -> None:
    """Destroy a session off the event loop and return its memory to the system."""
    box.clear()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)

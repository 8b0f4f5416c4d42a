"""Models that are loaded: bounded by bytes, each loaded once, the new one before the old one goes.

Lives on the event loop; opening, measuring and letting go happen on threads.
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
    """A model in memory, and the queue before it."""

    model: LoadedModel
    batcher: Batcher


class SessionCache:
    """Loaded models by the SHA-256 of their file; the least recently used go when bytes run out.

    Several requests for a model that is not there load it once: the first loads, the others wait.
    Whoever still computes with a model that went keeps it alive until it is done.
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
        """Return the model of a stored ONNX file, loading it if need be.

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
        return await asyncio.shield(task)  # others wait for it, whoever leaves

    def find(self, sha256: str) -> Loaded | None:
        """Return a model if it is loaded."""
        return self._loaded.get(sha256)

    @property
    def num_loaded(self) -> int:
        """How many sessions are held."""
        return len(self._loaded)

    @property
    def num_bytes(self) -> int:
        """The size of the files behind the sessions that are held."""
        return sum(loaded.model.num_bytes for loaded in self._loaded.values())

    @property
    def num_waiting(self) -> int:
        """Requests that wait before all models."""
        return sum(loaded.batcher.num_waiting for loaded in self._loaded.values())

    def drop(self, sha256: str) -> bool:
        """Let go of a model; return whether it was there."""
        loaded = self._loaded.pop(sha256, None)
        if loaded is None:
            return False
        box = [loaded]
        del loaded
        asyncio.get_running_loop().run_in_executor(self._threads, partial(_let_go, box))
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
        """Drop the oldest until the rest fits; the newest always stays."""
        while self.num_bytes > self._settings.cache_bytes and len(self._loaded) > 1:
            self.drop(next(iter(self._loaded)))


def _let_go(box: list[Loaded]) -> None:
    """Destroy a session off the loop, and hand its memory back to the system."""
    box.clear()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)

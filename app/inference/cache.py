"""LRU cache of models loaded in the serving process, bounded by the memory that they hold.

A new model loads before an old one is evicted. Used on the event loop.
"""

import asyncio
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from app.contracts.errors import InvalidInputError, ServiceError, TooLargeError, UnavailableError
from app.contracts.settings import InferenceSettings
from app.inference.batcher import Batcher
from app.inference.blame import Call
from app.inference.execution import Handle, explain
from app.inference.supervisor import Supervisor
from app.inference.turns import Turns
from app.objects.storage import ObjectStore
from app.serving.description import LoadedModel

_MOST_REFUSED = 1000
_LOADS = 2  # of different tenants; a slow one leaves a thread to the others
_LOAD_FACTOR = 3  # times `request_seconds`: ONNX Runtime computes constants, then one and two items


@dataclass(frozen=True)
class Key:
    """A tenant's model.

    Attributes:
        tenant: The tenant; sessions are not shared between tenants.
        sha256: SHA-256 of the ONNX file.
    """

    tenant: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.sha256}/{self.tenant}"


@dataclass(frozen=True)
class Loaded:
    """A loaded model, its session in the serving process, and its queue."""

    model: LoadedModel
    batcher: Batcher
    handle: Handle


MakeBatcher = Callable[[Key, LoadedModel, Handle], Batcher]


class SessionCache:
    """Loaded models by tenant and file; evicts the least recently used.

    Concurrent requests for a missing model share one load. An evicted model is unloaded once its
    queue is empty. Refusals are remembered: measuring a model again would refuse it again.
    """

    def __init__(
        self,
        settings: InferenceSettings,
        store: ObjectStore,
        make_batcher: MakeBatcher,
        supervisor: Supervisor,
        threads: Executor,
    ) -> None:
        self._settings, self._store, self._threads = settings, store, threads
        self._make_batcher, self._supervisor = make_batcher, supervisor
        self._loaded: OrderedDict[Key, Loaded] = OrderedDict()
        self._loading: dict[Key, asyncio.Task[Loaded]] = {}
        self._refused: OrderedDict[Key, ServiceError] = OrderedDict()
        self._numbers = itertools.count()
        self._turns = Turns(_LOADS)
        self._draining: set[asyncio.Task[None]] = set()

    async def get(self, tenant: str, sha256: str) -> Loaded:
        """Return the model of a stored ONNX file, loading it if necessary.

        Raises:
            UnavailableError: The file cannot be fetched, or the serving process is away.
            InvalidInputError: The file is refused.
            TooLargeError: One item of the model needs more than a limit allows.
        """
        key = Key(tenant, sha256)
        found = self._loaded.get(key)
        if found is not None:
            self._loaded.move_to_end(key)
            return found
        refused = self._refused.get(key)
        if refused is not None:
            raise type(refused)(refused.message)
        task = self._loading.get(key)
        if task is None:
            task = self._loading[key] = asyncio.create_task(self._load(key))
        return await asyncio.shield(task)  # others still wait if this request is cancelled

    def find(self, name: str) -> Loaded | None:
        """Return a model by the name that its `Demand` has, if it is loaded."""
        sha256, _, tenant = name.partition("/")
        return self._loaded.get(Key(tenant, sha256))

    @property
    def num_loaded(self) -> int:
        """Number of loaded models."""
        return len(self._loaded)

    @property
    def num_bytes(self) -> int:
        """Memory that the loaded models hold, in bytes."""
        return sum(loaded.model.num_bytes for loaded in self._loaded.values())

    @property
    def num_waiting(self) -> int:
        """Requests waiting in the queues of all models."""
        return sum(loaded.batcher.num_waiting for loaded in self._loaded.values())

    def drop(self, tenant: str, sha256: str) -> bool:
        """Evict a model; return whether it was loaded."""
        loaded = self._loaded.pop(Key(tenant, sha256), None)
        if loaded is None:
            return False
        task = asyncio.create_task(self._unload(loaded))
        self._draining.add(task)
        task.add_done_callback(self._draining.discard)
        return True

    def clear(self) -> None:
        """Forget all models: the process that held them has ended."""
        self._loaded.clear()

    async def _unload(self, loaded: Loaded) -> None:
        await loaded.batcher.drain()
        self._supervisor.tell("help", {"op": "unload", "key": loaded.handle.key})

    async def _load(self, key: Key) -> Loaded:
        try:
            await self._supervisor.wait_ready()
            loop = asyncio.get_running_loop()
            data = await loop.run_in_executor(self._threads, self._fetch, key.sha256)
            handle = Handle(f"{next(self._numbers)}/{key.sha256}", str(key), key.tenant)
            num_deaths = self._supervisor.num_deaths
            async with self._turns.turn(key.tenant):
                model = await self._open(handle, data)
            if num_deaths != self._supervisor.num_deaths:
                raise self._supervisor.unavailable()
            loaded = self._loaded[key] = Loaded(
                model, self._make_batcher(key, model, handle), handle
            )
            self._evict()
        except FileNotFoundError as error:
            raise UnavailableError("the model's file is missing") from error
        except (InvalidInputError, TooLargeError) as error:
            self._refused[key] = error
            if len(self._refused) > _MOST_REFUSED:
                self._refused.popitem(last=False)
            raise
        finally:
            del self._loading[key]
        return loaded

    def _fetch(self, sha256: str) -> bytes:
        return b"".join(self._store.stream(sha256))

    async def _open(self, handle: Handle, data: bytes) -> LoadedModel:
        settings = self._settings
        most_seconds = _LOAD_FACTOR * settings.request_seconds
        call = Call(handle.name, handle.tenant, time.monotonic(), most_seconds)
        head = {"op": "load", "key": handle.key}
        file = {"file": np.frombuffer(data, np.uint8)}
        frame = await self._supervisor.ask("help", head, call, [file])
        if frame.head.get("error") == "stopped":
            raise TooLargeError(
                f"one item of this model computes for longer than {settings.request_seconds:g} s, "
                "which is the limit for one request"
            )
        if "error" in frame.head:
            raise explain(frame)
        model = LoadedModel.from_json(frame.head["model"])
        if model.cost.run_bytes > settings.run_bytes:
            self._supervisor.tell("help", {"op": "unload", "key": handle.key})
            raise TooLargeError(
                f"one item of this model takes {model.cost.run_bytes} bytes of memory while it "
                f"runs, at most {settings.run_bytes} are allowed"
            )
        return model

    def _evict(self) -> None:
        """Drop the least recently used models until the rest fits; keep the newest."""
        while self.num_bytes > self._settings.cache_bytes and len(self._loaded) > 1:
            oldest = next(iter(self._loaded))
            self.drop(oldest.tenant, oldest.sha256)

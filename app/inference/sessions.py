"""ONNX Runtime sessions, kept while they are used: bounded by bytes, each loaded once."""

import threading
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass

import onnxruntime as ort

from app.contracts.errors import UnavailableError
from app.contracts.settings import InferenceSettings
from app.contracts.storage import ObjectStore

_PROVIDERS = {
    "cpu": ["CPUExecutionProvider"],
    # Never run on a GPU by the project's own tests: their machines have none.
    "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"],
}


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a session; a dimension of None is dynamic."""

    name: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class LoadedModel:
    """A session, and what it takes and gives."""

    session: ort.InferenceSession
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    num_bytes: int


class SessionCache:
    """Sessions by the SHA-256 of their file; the least recently used go when bytes run out.

    Several requests for a session that is not there load it once: the first loads, the others wait.
    """

    def __init__(self, settings: InferenceSettings, store: ObjectStore) -> None:
        self._settings, self._store = settings, store
        self._lock = threading.Lock()
        self._loaded: OrderedDict[str, LoadedModel] = OrderedDict()
        self._loading: dict[str, Future[LoadedModel]] = {}

    def get(self, sha256: str) -> LoadedModel:
        """Return the session of a stored ONNX file, loading it if need be.

        Raises:
            UnavailableError: The file cannot be fetched.
        """
        with self._lock:
            found = self._loaded.get(sha256)
            if found is not None:
                self._loaded.move_to_end(sha256)
                return found
            future = self._loading.get(sha256)
            is_ours = future is None
            if future is None:
                future = self._loading[sha256] = Future()
        if is_ours:
            self._load(sha256, future)
        return future.result()

    @property
    def num_bytes(self) -> int:
        """The size of the files behind the sessions that are held."""
        with self._lock:
            return sum(model.num_bytes for model in self._loaded.values())

    def _load(self, sha256: str, future: "Future[LoadedModel]") -> None:
        try:
            loaded = self._open(b"".join(self._store.stream(sha256)))
        except BaseException as error:  # noqa: BLE001  # handed to everyone who waits
            with self._lock:
                del self._loading[sha256]
            is_missing = isinstance(error, FileNotFoundError)
            future.set_exception(
                UnavailableError("the model's file is missing") if is_missing else error
            )
            return
        with self._lock:
            self._loaded[sha256] = loaded
            del self._loading[sha256]
            self._evict()
        future.set_result(loaded)

    def _evict(self) -> None:
        """Drop the oldest until the rest fits; the newest always stays."""
        total = sum(model.num_bytes for model in self._loaded.values())
        while total > self._settings.cache_bytes and len(self._loaded) > 1:
            _, dropped = self._loaded.popitem(last=False)
            total -= dropped.num_bytes

    def _open(self, data: bytes) -> LoadedModel:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self._settings.num_threads
        options.inter_op_num_threads = 1
        providers = _PROVIDERS[self._settings.provider]
        session = ort.InferenceSession(data, options, providers=providers)
        inputs, outputs = _specs(session.get_inputs()), _specs(session.get_outputs())
        return LoadedModel(session, inputs, outputs, len(data))


def _specs(values: list[ort.NodeArg]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(v.name, tuple(d if isinstance(d, int) else None for d in v.shape))
        for v in values
    )

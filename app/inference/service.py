"""Find the model, check the input, compute in a thread, return arrays."""

import asyncio
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.contracts.database import Sessions, reading
from app.contracts.errors import ConflictError
from app.contracts.settings import Settings
from app.contracts.spec import PreprocessSpec
from app.contracts.storage import ObjectStore
from app.inference.images import decode_images
from app.inference.sessions import LoadedModel, SessionCache
from app.inference.tensors import Arrays, parse_inputs
from app.models.service import find

# A ready model changes in nothing but its name; its deletion may take this long to be seen.
_KNOWN_SECONDS = 5.0
_MAX_KNOWN = 10_000


@dataclass(frozen=True)
class Servable:
    """What inference needs to know of a model."""

    id: str
    version: str
    onnx_sha256: str
    preprocess: PreprocessSpec
    class_names: tuple[str, ...] | None


@dataclass(frozen=True)
class Prediction:
    """Outputs by name."""

    model: Servable
    outputs: dict[str, NDArray[Any]]


class InferenceService:
    """Answers inference requests with ONNX Runtime on threads of its own."""

    def __init__(self, settings: Settings, sessions: Sessions, store: ObjectStore) -> None:
        self._settings, self._sessions = settings, sessions
        self.cache = SessionCache(settings.inference, store)
        self._threads = ThreadPoolExecutor(settings.inference.num_workers, "inference")
        self._known: dict[tuple[str, str], tuple[float, Servable]] = {}
        self._lock = threading.Lock()

    async def infer(self, tenant: str, model_id: str, inputs: Any) -> Prediction:  # noqa: ANN401  # JSON
        """Compute outputs for decoded JSON inputs.

        Raises:
            NotFoundError: There is no such model.
            ConflictError: It is not ready.
            InvalidInputError: The inputs do not fit.
        """
        return await self._in_thread(self._infer, tenant, model_id, inputs)

    async def classify(self, tenant: str, model_id: str, files: Sequence[bytes]) -> Prediction:
        """Compute outputs for encoded images, with the model's stored preprocessing.

        Raises:
            NotFoundError: There is no such model.
            ConflictError: It is not ready.
            InvalidInputError: A file is no image, or the model takes none.
            TooLargeError: An image has too many pixels.
        """
        return await self._in_thread(self._classify, tenant, model_id, files)

    def close(self) -> None:
        """Let running requests end."""
        self._threads.shutdown()

    async def _in_thread(self, function: Any, *arguments: Any) -> Prediction:  # noqa: ANN401
        loop = asyncio.get_running_loop()
        prediction: Prediction = await loop.run_in_executor(self._threads, function, *arguments)
        return prediction

    def _infer(self, tenant: str, model_id: str, inputs: Any) -> Prediction:  # noqa: ANN401  # JSON
        servable = self._find(tenant, model_id)
        loaded = self.cache.get(servable.onnx_sha256)
        return _run(servable, loaded, parse_inputs(loaded, inputs))

    def _classify(self, tenant: str, model_id: str, files: Sequence[bytes]) -> Prediction:
        servable = self._find(tenant, model_id)
        loaded = self.cache.get(servable.onnx_sha256)
        spec = loaded.inputs[0]
        pixels = self._settings.limits.image_pixels
        images = decode_images(files, spec, servable.preprocess, pixels)
        return _run(servable, loaded, {spec.name: images})

    def _find(self, tenant: str, model_id: str) -> Servable:
        now = time.monotonic()
        with self._lock:
            known = self._known.get((tenant, model_id))
        if known is not None and now - known[0] < _KNOWN_SECONDS:
            return known[1]
        with reading(self._sessions) as session:
            row = find(session, tenant, model_id)
        if row.status != "ready" or row.onnx_sha256 is None:
            raise ConflictError(f"model {row.id} is {row.status}: it cannot be served")
        servable = Servable(
            row.id,
            row.version,
            row.onnx_sha256,
            PreprocessSpec.model_validate(row.preprocess or {}),
            tuple(row.class_names) if row.class_names else None,
        )
        with self._lock:
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[tenant, model_id] = (now, servable)
        return servable


def _run(servable: Servable, loaded: LoadedModel, arrays: Arrays) -> Prediction:
    values = loaded.session.run(None, arrays)
    names = [spec.name for spec in loaded.outputs]
    outputs = {name: np.asarray(v) for name, v in zip(names, values, strict=True)}
    return Prediction(servable, outputs)

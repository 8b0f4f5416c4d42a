"""Inference as routes ask for it: find a model, describe it, run it; the loop is not held up.

Everything here is called on the event loop. ONNX Runtime, image files and large JSON bodies have
threads of their own; a run that is shorter than waking one up twice takes none (record 20).
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeVar

from app.contracts.errors import Demand, UnavailableError
from app.contracts.settings import Settings
from app.inference.batcher import Batcher, BatchLimits, IsDisconnected
from app.inference.cache import SessionCache
from app.inference.compare import Comparison, compare
from app.inference.execution import Execution
from app.inference.images import decode_images
from app.inference.npy import parse_npy
from app.inference.options import NO_OPTIONS, Options, refuse_without_parent
from app.inference.servable import Servable, Servables
from app.inference.sessions import LoadedModel
from app.inference.tensors import Arrays, TensorSpec, as_type, parse_inputs
from app.objects.storage import ObjectStore
from app.records.database import Sessions
from app.telemetry.metrics import Metrics

__all__ = ["InferenceService", "Prediction", "Servable"]

# JSON of this size is decoded on the loop: a thread would take longer to wake up.
SMALL_BYTES = 64 * 1024

T = TypeVar("T")


class Prediction(NamedTuple):
    """What a model answered.

    Attributes:
        model: Which.
        outputs: By name.
        queue_seconds: Before its batch ran.
        compute_seconds: Of its batch.
        batch_size: Items in its batch, those of other requests included.
    """

    model: Servable
    outputs: Arrays
    queue_seconds: float
    compute_seconds: float
    batch_size: int


class Answer(NamedTuple):
    """What a request gets.

    Attributes:
        prediction: Of the model that was asked for, or of its base.
        base: Of the model it was pruned from, where both were asked for.
        comparison: Of the two.
    """

    prediction: Prediction
    base: Prediction | None = None
    comparison: Comparison | None = None


class Renaming(NamedTuple):
    """What a model's inputs and outputs are called in its base.

    The same, unless the base was stored when they had numbers for names; the order is the same.

    Attributes:
        input_names: The base's by the model's own.
        output_names: The same.
    """

    input_names: dict[str, str]
    output_names: dict[str, str]

    def inputs(self, arrays: Arrays) -> Arrays:
        """Return inputs as the base takes them."""
        return {self.input_names.get(name, name): array for name, array in arrays.items()}

    def outputs(self, wanted: Sequence[str] | None) -> Sequence[str] | None:
        """Return what is wanted, in the base's words."""
        return None if wanted is None else [self.output_names.get(n, n) for n in wanted]

    def back(self, prediction: Prediction) -> Prediction:
        """Return a prediction of the base in the model's words."""
        names = {theirs: ours for ours, theirs in self.output_names.items()}
        found = {names.get(name, name): array for name, array in prediction.outputs.items()}
        return prediction._replace(outputs=found)


class InferenceService:
    """Answers inference requests; made and used on the event loop."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        store: ObjectStore,
        metrics: Metrics | None = None,
    ) -> None:
        self._settings, self._metrics = settings, metrics or Metrics()
        self._execution = Execution(settings.inference, self._metrics)
        self._helping = ThreadPoolExecutor(settings.inference.num_workers, "inference-helper")
        self._servables = Servables(sessions)
        self.cache = SessionCache(settings.inference, store, self._make_batcher, self._helping)

    async def find(self, tenant: str, model_id: str) -> Servable:
        """Return a model that can be served; what is returned may be some seconds old.

        Raises:
            NotFoundError: There is no such model.
            ConflictError: It is not ready.
        """
        return await self._servables.find(tenant, model_id)

    async def describe(self, servable: Servable) -> LoadedModel:
        """Return what a model takes and gives; loads it if need be.

        Raises:
            UnavailableError: Its file cannot be fetched.
        """
        return (await self.cache.get(servable.onnx_sha256)).model

    def unload(self, servable: Servable) -> bool:
        """Let go of a model's session; return whether there was one."""
        return self.cache.drop(servable.onnx_sha256)

    async def run(
        self,
        servable: Servable,
        arrays: Arrays,
        *,
        outputs: Sequence[str] | None = None,
        priority: int = 0,
        deadline: float | None = None,
        is_disconnected: IsDisconnected | None = None,
    ) -> Prediction:
        """Compute a model's outputs.

        Args:
            servable: Which model.
            arrays: For every input, checked against `describe`, and not written to any more.
            outputs: Names of what is wanted; None: all.
            priority: Higher goes first, among the requests that wait for this model.
            deadline: By the event loop's clock: after it, nobody wants the answer.
            is_disconnected: Whether the client has hung up; called before the request would run.

        Raises:
            AbandonedError: The client hung up before the request ran.
            OverloadedError: Too much waits for this model.
            DeadlineError: The deadline passed before the request ran.
            InvalidInputError: The network cannot compute these inputs.
        """
        loaded = await self.cache.get(servable.onnx_sha256)
        wanted = None if outputs is None else tuple(outputs)
        try:
            computed = await loaded.batcher.submit(
                arrays,
                wanted,
                priority=priority,
                deadline=deadline,
                is_disconnected=is_disconnected,
            )
        except UnavailableError as error:
            self._metrics.rejections.labels(error.code).inc()
            raise
        self._metrics.queue_seconds.observe(computed.queue_seconds)
        return Prediction(
            servable,
            computed.outputs,
            computed.queue_seconds,
            computed.compute_seconds,
            computed.batch_size,
        )

    async def answer(
        self,
        tenant: str,
        servable: Servable,
        arrays: Arrays,
        options: Options = NO_OPTIONS,
        outputs: Sequence[str] | None = None,
        is_disconnected: IsDisconnected | None = None,
    ) -> Answer:
        """Compute what a request asks for: a model, the one it was pruned from, or both.

        Raises:
            InvalidInputError: The model was not pruned from another, and the other was asked for.
            NotFoundError: The other was deleted.
        """
        run = partial(
            self.run,
            priority=options.priority,
            deadline=options.deadline,
            is_disconnected=is_disconnected,
        )
        if options.variant == "pruned":
            return Answer(await run(servable, arrays, outputs=outputs))
        base = await self.find_base(tenant, servable)
        renamed = await self.renaming(servable, base)
        theirs = renamed.back(
            await run(base, renamed.inputs(arrays), outputs=renamed.outputs(outputs))
        )
        if options.variant == "base":
            return Answer(theirs)
        # One after the other: side by side, each would be measured beside the other.
        ours = await run(servable, arrays, outputs=outputs)
        comparison = await self.in_thread(compare, theirs.outputs, ours.outputs)
        return Answer(ours, theirs, comparison)

    async def find_base(self, tenant: str, servable: Servable) -> Servable:
        """Return the model that another was pruned from.

        Raises:
            InvalidInputError: There never was one.
            NotFoundError: It was deleted.
        """
        if servable.parent_id is None:
            raise refuse_without_parent(servable.id)
        return await self.find(tenant, servable.parent_id)

    async def renaming(self, servable: Servable, base: Servable) -> "Renaming":
        """Return what a model's inputs and outputs are called in the one it was pruned from."""
        ours, theirs = await self.describe(servable), await self.describe(base)
        return Renaming(_pairs(ours.inputs, theirs.inputs), _pairs(ours.outputs, theirs.outputs))

    @property
    def is_idle(self) -> bool:
        """Whether a run more would be in nobody's way."""
        return self._execution.runs.are_idle

    def accepts(self, demand: Demand, num_others: int) -> bool:
        """Return whether a request would be taken into its model's queue, behind others like it."""
        loaded = self.cache.find(demand.model)
        return loaded is None or loaded.batcher.accepts(demand, num_others)

    async def parse(self, servable: Servable, inputs: Any, num_bytes: int) -> Arrays:  # noqa: ANN401  # JSON
        """Return arrays for decoded JSON that was ``num_bytes`` long.

        Raises:
            InvalidInputError: The inputs do not fit.
        """
        model = await self.describe(servable)
        if num_bytes <= SMALL_BYTES:
            return parse_inputs(model.inputs, inputs)
        return await self.in_thread(parse_inputs, model.inputs, inputs)

    async def parse_npy(self, servable: Servable, data: bytes) -> Arrays:
        """Return the array of a ``.npy`` file.

        Raises:
            InvalidInputError: It is none, or does not fit.
        """
        model = await self.describe(servable)
        if len(data) <= SMALL_BYTES:
            return parse_npy(model.inputs, data)
        return await self.in_thread(parse_npy, model.inputs, data)

    async def decode(self, servable: Servable, files: Sequence[bytes]) -> Arrays:
        """Return arrays for encoded images, by the model's stored preprocessing.

        Raises:
            InvalidInputError: A file is no image, or the model takes none.
            TooLargeError: An image has too many pixels.
        """
        spec = (await self.describe(servable)).inputs[0]
        pixels = self._settings.limits.image_pixels
        images = await self.in_thread(decode_images, files, spec, servable.preprocess, pixels)
        return {spec.name: as_type(spec, images)}

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401
        """Call what takes long, beside the computing."""
        return await asyncio.get_running_loop().run_in_executor(self._helping, function, *arguments)

    def close(self) -> None:
        """Let running requests end."""
        self._execution.close()
        self._helping.shutdown()

    def _make_batcher(self, sha256: str, model: LoadedModel, max_items: int) -> Batcher:
        inference = self._settings.inference
        limits = BatchLimits(max_items, inference.queue_items, inference.queue_bytes)
        compute = partial(self._execution.start, model)
        return Batcher(compute, limits, self._execution.runs, sha256)


def _pairs(ours: Sequence[TensorSpec], theirs: Sequence[TensorSpec]) -> dict[str, str]:
    if len(ours) != len(theirs):
        return {}
    return {one.name: other.name for one, other in zip(ours, theirs, strict=True)}

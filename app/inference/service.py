"""Inference service behind the routes: find, describe and run models without blocking the loop.

Called on the event loop. The serving process computes and decodes images (record 40). Large JSON
bodies are decoded on threads.
"""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from app.contracts.errors import Demand, UnavailableError
from app.contracts.settings import Settings
from app.inference.batcher import Batcher, BatchLimits, IsDisconnected
from app.inference.blame import Call
from app.inference.cache import Key, SessionCache
from app.inference.compare import Comparison, compare
from app.inference.execution import Execution, Handle, explain
from app.inference.held import HeldArray, Hold, Inputs
from app.inference.npy import parse_npy
from app.inference.options import NO_OPTIONS, Options, refuse_without_parent
from app.inference.servable import Servable, Servables
from app.inference.slices import allowed_items, slices
from app.inference.supervisor import Supervisor
from app.inference.tensors import parse_inputs
from app.inference.turns import Turns
from app.objects.storage import ObjectStore
from app.records.database import Sessions
from app.serving.description import Arrays, LoadedModel, TensorSpec
from app.telemetry.metrics import Metrics

__all__ = ["InferenceService", "Prediction", "Servable"]

# JSON up to this size is decoded on the loop: waking up a thread would take longer.
SMALL_BYTES = 64 * 1024

T = TypeVar("T")


class Prediction(NamedTuple):
    """Outputs and timings of one model.

    Attributes:
        model: The model.
        outputs: Arrays by name.
        queue_seconds: Wait before the batch ran.
        compute_seconds: Compute time of the whole batch.
        batch_size: Items in the batch, including other requests' items.
    """

    model: Servable
    outputs: Arrays
    queue_seconds: float
    compute_seconds: float
    batch_size: int


class Answer(NamedTuple):
    """Answer to one request.

    Attributes:
        prediction: Prediction of the requested variant; of the pruned model in a comparison.
        base: Prediction of the base, in a comparison.
        comparison: Comparison of the two.
        int8: Prediction of the int8 form, in a comparison of all.
        int8_comparison: Comparison of the pruned model with it.
    """

    prediction: Prediction
    base: Prediction | None = None
    comparison: Comparison | None = None
    int8: Prediction | None = None
    int8_comparison: Comparison | None = None

    @property
    def num_bytes(self) -> int:
        """Size of the outputs."""
        others = (each.outputs for each in (self.base, self.int8) if each is not None)
        return size_of(self.prediction.outputs) + sum(map(size_of, others))


def size_of(arrays: Inputs) -> int:
    """Return the size of tensors in bytes."""
    return sum(array.nbytes for array in arrays.values())


class Renaming(NamedTuple):
    """Map from a model's input and output names to its base's.

    The names are equal unless the base was stored when names were numbers. The order is equal.

    Attributes:
        input_names: The base's input names by the model's.
        output_names: The base's output names by the model's.
    """

    input_names: dict[str, str]
    output_names: dict[str, str]

    def inputs(self, arrays: Inputs) -> Inputs:
        """Return the inputs under the base's names."""
        return {self.input_names.get(name, name): array for name, array in arrays.items()}

    def outputs(self, wanted: Sequence[str] | None) -> Sequence[str] | None:
        """Return the output names in the base."""
        return None if wanted is None else [self.output_names.get(n, n) for n in wanted]

    def back(self, prediction: Prediction) -> Prediction:
        """Return a prediction of the base under the model's output names."""
        names = {theirs: ours for ours, theirs in self.output_names.items()}
        found = {names.get(name, name): array for name, array in prediction.outputs.items()}
        return prediction._replace(outputs=found)


class InferenceService:
    """Inference service; created and used on the event loop."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        store: ObjectStore,
        metrics: Metrics | None = None,
        supervisor: type[Supervisor] = Supervisor,
    ) -> None:
        self._settings, self._metrics = settings, metrics or Metrics()
        inference = settings.inference
        self.supervisor = supervisor(settings, self._forget)
        self._execution = Execution(inference, self.supervisor, self._metrics)
        self._helping = ThreadPoolExecutor(inference.num_workers, "inference-helper")
        self._servables = Servables(sessions)
        self._decoding = Turns(inference.num_workers)
        self._numbers = itertools.count()
        self.cache = SessionCache(
            inference, store, self._make_batcher, self.supervisor, self._helping
        )

    async def start(self) -> None:
        """Start the serving process; do not wait for it."""
        await self.supervisor.start()

    async def find(self, tenant: str, model_id: str) -> Servable:
        """Return a ready model; the cached row may be some seconds old.

        Raises:
            NotFoundError: There is no such model.
            ConflictError: The model is not ready.
        """
        return await self._servables.find(tenant, model_id)

    async def describe(self, servable: Servable) -> LoadedModel:
        """Return a model's inputs and outputs, loading it if necessary.

        Raises:
            UnavailableError: The model's file cannot be fetched, or the serving process is away.
            InvalidInputError: The file is refused.
            TooLargeError: One item of the model needs more than a limit allows.
        """
        return (await self.cache.get(servable.tenant, servable.onnx_sha256)).model

    def unload(self, servable: Servable) -> bool:
        """Unload a model's session; return whether it was loaded."""
        return self.cache.drop(servable.tenant, servable.onnx_sha256)

    async def run(
        self,
        servable: Servable,
        arrays: Inputs,
        *,
        outputs: Sequence[str] | None = None,
        priority: int = 0,
        deadline: float | None = None,
        is_disconnected: IsDisconnected | None = None,
    ) -> Prediction:
        """Compute a model's outputs.

        Args:
            servable: The model.
            arrays: One array per input, validated against `describe`, or decoded images; must not
                change any more.
            outputs: Names of the outputs to return; None: all.
            priority: Higher runs first among the requests waiting for this model.
            deadline: Time on the event loop's clock after which the answer is useless.
            is_disconnected: Tells whether the client hung up; called just before the run.

        Raises:
            AbandonedError: The client hung up before the request ran.
            OverloadedError: The model's queue is full.
            DeadlineError: The deadline passed before the answer.
            InvalidInputError: The network cannot compute these inputs.
            TooLargeError: The request would take more memory, time or bytes than allowed.
        """
        loaded = await self.cache.get(servable.tenant, servable.onnx_sha256)
        most = allowed_items(loaded.model, arrays, self._settings.inference)
        submit = partial(
            loaded.batcher.submit,
            outputs=None if outputs is None else tuple(outputs),
            priority=priority,
            deadline=deadline,
            is_disconnected=is_disconnected,
        )
        try:
            if most is None:
                computed = await submit(arrays)
            else:
                computed = await slices(submit, arrays, most, self._settings.inference)
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
        arrays: Inputs,
        options: Options = NO_OPTIONS,
        outputs: Sequence[str] | None = None,
        is_disconnected: IsDisconnected | None = None,
    ) -> Answer:
        """Compute the requested variant: the model, its base, its int8 form, or a comparison.

        Raises:
            InvalidInputError: The base was requested, but the model was not pruned from another; or
                the int8 form was, and there is none.
            NotFoundError: The base was deleted.
        """
        run = partial(
            self.run,
            priority=options.priority,
            deadline=options.deadline,
            is_disconnected=is_disconnected,
        )
        if options.variant == "pruned":
            return Answer(await run(servable, arrays, outputs=outputs))
        int8 = servable.as_int8() if options.variant in {"int8", "all"} else None
        if int8 is not None and options.variant == "int8":
            return Answer(await run(int8, arrays, outputs=outputs))
        base = await self.find_base(tenant, servable)
        renamed = await self.renaming(servable, base)
        theirs = renamed.back(
            await run(base, renamed.inputs(arrays), outputs=renamed.outputs(outputs))
        )
        if options.variant == "base":
            return Answer(theirs)
        # Sequential, since concurrent runs would distort each other's timing.
        ours = await run(servable, arrays, outputs=outputs)
        comparison = await self.in_thread(compare, theirs.outputs, ours.outputs)
        if int8 is None:
            return Answer(ours, theirs, comparison)
        small = await run(int8, arrays, outputs=outputs)
        difference = await self.in_thread(compare, ours.outputs, small.outputs)
        return Answer(ours, theirs, comparison, small, difference)

    async def find_base(self, tenant: str, servable: Servable) -> Servable:
        """Return the model that ``servable`` was pruned from.

        Raises:
            InvalidInputError: The model was not pruned from another.
            NotFoundError: The base was deleted.
        """
        if servable.parent_id is None:
            raise refuse_without_parent(servable.id)
        return await self.find(tenant, servable.parent_id)

    async def renaming(self, servable: Servable, base: Servable) -> "Renaming":
        """Return the map from a model's input and output names to its base's."""
        ours, theirs = await self.describe(servable), await self.describe(base)
        return Renaming(_pairs(ours.inputs, theirs.inputs), _pairs(ours.outputs, theirs.outputs))

    @property
    def is_idle(self) -> bool:
        """Whether another run would delay no request."""
        return self._execution.runs.are_idle

    def accepts(self, demand: Demand, num_others: int) -> bool:
        """Return whether the model's queue would accept a request behind ``num_others`` like it."""
        loaded = self.cache.find(demand.model)
        return loaded is None or loaded.batcher.accepts(demand, num_others)

    async def parse(self, servable: Servable, inputs: Any, num_bytes: int) -> Arrays:  # noqa: ANN401  # JSON
        """Return the arrays of decoded JSON that was ``num_bytes`` long.

        Raises:
            InvalidInputError: The inputs do not fit the model.
        """
        model = await self.describe(servable)
        if num_bytes <= SMALL_BYTES:
            return parse_inputs(model.inputs, inputs)
        return await self.in_thread(parse_inputs, model.inputs, inputs)

    async def parse_npy(self, servable: Servable, data: bytes) -> Arrays:
        """Return the array of a ``.npy`` file.

        Raises:
            InvalidInputError: The file is not ``.npy``, or the array does not fit the input.
        """
        model = await self.describe(servable)
        if len(data) <= SMALL_BYTES:
            return parse_npy(model.inputs, data)
        return await self.in_thread(parse_npy, model.inputs, data)

    @asynccontextmanager
    async def decoded(self, servable: Servable, files: Sequence[bytes]) -> AsyncIterator[Inputs]:
        """Decode images with the model's stored preprocessing, and keep them while inside.

        Raises:
            InvalidInputError: A file is not an image, or the model does not take images.
            TooLargeError: An image has too many pixels.
        """
        spec = (await self.describe(servable)).inputs[0]
        name = f"images of {servable.tenant}"
        call = Call(
            name, servable.tenant, time.monotonic(), self._settings.inference.request_seconds
        )
        preprocess = servable.preprocess.model_dump(mode="json")
        key = f"images {next(self._numbers)}"
        head = {"op": "decode", "key": key, "spec": asdict(spec), "preprocess": preprocess}
        arrays = {str(n): np.frombuffer(file, np.uint8) for n, file in enumerate(files)}
        async with self._decoding.turn(servable.tenant):
            call.began = time.monotonic()
            asked = asyncio.ensure_future(self.supervisor.ask("help", head, call, [arrays]))
            try:
                frame = await asyncio.shield(asked)
            except asyncio.CancelledError:
                asked.add_done_callback(lambda _: self._drop(key))
                raise
        if "error" in frame.head:
            raise explain(frame)
        hold = Hold(key, self._drop)
        shape, dtype = tuple(frame.head["shape"]), np.dtype(frame.head["dtype"])
        try:
            sizes = tuple((int(height), int(width)) for height, width in frame.head["sizes"])
            yield {spec.name: HeldArray(hold, shape, dtype, sizes=sizes)}
        finally:
            hold.release()

    async def in_thread(self, function: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401
        """Call a slow function on a thread of its own pool."""
        return await asyncio.get_running_loop().run_in_executor(self._helping, function, *arguments)

    async def close(self) -> None:
        """Stop the serving process."""
        await self.supervisor.close()
        self._helping.shutdown()

    def _drop(self, key: str) -> None:
        self.supervisor.tell("control", {"op": "drop", "key": key})

    def _forget(self) -> None:
        self.cache.clear()

    def _make_batcher(self, key: Key, model: LoadedModel, handle: Handle) -> Batcher:
        inference = self._settings.inference
        limits = BatchLimits(model.max_items, inference.queue_items, inference.queue_bytes)
        compute = partial(self._execution.start, handle)
        return Batcher(
            compute,
            limits,
            self._execution.runs,
            str(key),
            key.tenant,
            model.cost.item_seconds or None,
        )


def _pairs(ours: Sequence[TensorSpec], theirs: Sequence[TensorSpec]) -> dict[str, str]:
    if len(ours) != len(theirs):
        return {}
    return {one.name: other.name for one, other in zip(ours, theirs, strict=True)}

"""Shadow traffic: a share of a pruned model's requests also runs on its dense parent.

Shadows run in the background after the answer is sent, and their failures reach no client. One
runs at a time, and a shadow is dropped while requests are being computed.
"""

import asyncio

import structlog

from app.contracts.errors import ServiceError
from app.inference.compare import Comparison, compare
from app.inference.held import Inputs, holds_of
from app.inference.options import Options
from app.inference.service import Answer, InferenceService, Prediction
from app.telemetry.metrics import Metrics

log = structlog.get_logger(__name__)

_LAST = -1000  # below every priority that a client may send
_MOST_MODELS = 10_000


class Shadow:
    """Comparison of pruned models with their parents on real requests."""

    def __init__(self, service: InferenceService, metrics: Metrics, share: float) -> None:
        self._service, self._metrics, self._share = service, metrics, share
        self._owed: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._largest = 0.0

    def consider(self, tenant: str, options: Options, answer: Answer, inputs: Inputs) -> None:
        """Compare a request in the background if it used a pruned model and a shadow is due."""
        if options.variant != "pruned":
            return
        prediction = answer.prediction
        model = prediction.model
        share = self._share if model.shadow_share is None else model.shadow_share
        if share == 0 or model.parent_id is None:
            return
        if len(self._owed) >= _MOST_MODELS:
            self._owed.clear()
        # Every tenth request instead of a random tenth: reproducible.
        owed = self._owed.get(model.id, 0.0) + share
        self._owed[model.id] = owed % 1
        if owed < 1:
            return
        if (self._task is not None and not self._task.done()) or not self._service.is_idle:
            self._metrics.shadow_requests.labels("dropped").inc()
            return
        for hold in holds_of(inputs):
            hold.retain()
        self._task = asyncio.create_task(self._compare(tenant, prediction, inputs))
        self._task.add_done_callback(lambda _: _release(inputs))

    def close(self) -> None:
        """Cancel the running shadow."""
        if self._task is not None:
            self._task.cancel()

    async def _compare(self, tenant: str, prediction: Prediction, inputs: Inputs) -> None:
        try:
            base = await self._service.find_base(tenant, prediction.model)
            renamed = await self._service.renaming(prediction.model, base)
            found = renamed.back(
                await self._service.run(
                    base,
                    renamed.inputs(inputs),
                    outputs=renamed.outputs(tuple(prediction.outputs)),
                    priority=_LAST,
                )
            )
            comparison = await self._service.in_thread(compare, found.outputs, prediction.outputs)
        except ServiceError as error:
            self._metrics.shadow_requests.labels("failed").inc()
            log.info("shadow.failed", model_id=prediction.model.id, code=error.code)
            return
        self._count(comparison)

    def _count(self, comparison: Comparison) -> None:
        self._metrics.shadow_requests.labels("compared").inc()
        self._metrics.shadow_compared.inc(comparison.num_compared)
        self._metrics.shadow_agreeing.inc(comparison.num_agreeing)
        self._largest = max(self._largest, comparison.max_difference)
        self._metrics.shadow_max_difference.set(self._largest)


def _release(inputs: Inputs) -> None:
    for hold in holds_of(inputs):
        hold.release()

"""Execution of batches: on threads, or on the event loop where that is faster (record 20)."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from app.contracts.errors import InvalidInputError
from app.contracts.settings import InferenceSettings
from app.inference.batcher import Outputs, Run
from app.inference.runs import Runs
from app.inference.sessions import LoadedModel, run_batch
from app.inference.tensors import Arrays
from app.telemetry.metrics import Metrics

_AHEAD = 1  # batches queued for the threads, so that no thread waits for the loop


class Execution:
    """Executor for the batches of all models.

    Attributes:
        runs: Limit on concurrent runs.
    """

    def __init__(self, settings: InferenceSettings, metrics: Metrics) -> None:
        self.runs = Runs(settings.num_workers, _AHEAD)
        self._threads = ThreadPoolExecutor(settings.num_workers, "inference")
        self._most_inline = settings.inline_seconds if settings.provider == "cpu" else 0.0
        self._metrics = metrics

    def start(
        self, model: LoadedModel, requests: Sequence[Arrays], outputs: Outputs, seconds: float
    ) -> Run:
        """Start one run.

        Args:
            model: The loaded model.
            requests: Arrays by input name of each request in the batch.
            outputs: Names of the outputs to return; None: all.
            seconds: Expected duration of the run; 0: unknown.
        """
        loop = asyncio.get_running_loop()
        if 0 < seconds <= self._most_inline and self.runs.is_only_run:
            run: Run = loop.create_future()
            try:
                run.set_result(self._run(model, requests, outputs))
            except InvalidInputError as error:
                run.set_exception(error)
            return run
        return loop.run_in_executor(self._threads, self._run, model, requests, outputs)

    def close(self) -> None:
        """Wait for running batches and stop the threads."""
        self._threads.shutdown()

    def _run(
        self, model: LoadedModel, requests: Sequence[Arrays], outputs: Outputs
    ) -> tuple[Sequence[Arrays], float]:
        found, seconds = run_batch(model, requests, outputs)
        first = [next(iter(request.values())) for request in requests]
        self._metrics.compute_seconds.observe(seconds)
        self._metrics.batch_items.observe(sum(len(a) if a.ndim else 1 for a in first))
        return found, seconds

"""Widths by measured latency, for latency budgets and ``round_to: auto``."""

from pathlib import Path

from app.contracts.spec import BudgetSelection
from secateur.engine.errors import PlanError
from secateur.engine.export.onnx import export_onnx
from secateur.engine.export.session import CPU_PROVIDER
from secateur.engine.files.atomic_write import atomic_write
from secateur.engine.latency import LatencyModel, LayerTimer, Precision, fit_latency
from secateur.engine.measure import Comparison, compare_latency
from secateur.engine.plan import Plan, check_fits
from secateur.engine.quantize import Int8Trials, QuantizeOptions
from secateur.engine.selection import Selection, select
from secateur.engine.surgery import compact
from worker.pipeline.job.dense_onnx import DENSE_ONNX, export_dense
from worker.pipeline.job.identity import job_key
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.options import RuledSelection, selection_rule
from worker.pipeline.job.results import Choice
from worker.pipeline.job.serving import deciding_provider
from worker.pipeline.selecting.planning import Planner

_NUM_CALIBRATED = 4  # samples: trials are judged by their speed alone


def choose_by_clock(inputs: Inputs, planner: Planner, spec: RuledSelection) -> Choice:
    """Select with latencies measured on this worker, once for all attempts.

    Raises:
        PlanError: This worker lacks the provider that serves, or no plan meets the budget.
    """
    provider = deciding_provider(inputs)
    path = inputs.request.checkpoint_dir / f"plan-{job_key(inputs.request, provider)}.json"
    scores = planner.scores
    if path.exists():
        plan = Plan.from_json(path.read_text())
        check_fits(plan, inputs.program)
        return Choice(plan, scores)
    options = inputs.selection(selection_rule(spec))
    if spec.precision == "int8" and provider != CPU_PROVIDER:
        raise PlanError(
            f"selection.precision int8 is measured with {CPU_PROVIDER}, and /infer computes with "
            f"{provider}",
            hint="Choose widths by fp32, or by the latencies of a device: selection.target.",
        )
    target = _Target(inputs, planner, provider)
    latency = target.model()
    trials: tuple[tuple[float, float], ...] = ()
    if isinstance(spec, BudgetSelection) and spec.latency is not None:
        inputs.reporter.progress(1, 2, "choosing widths by measured latency", is_forced=True)
        models = (inputs.cost, latency)
        fit = fit_latency(inputs.analysis, scores.by_family, options, models, target.measure)
        found, trials = fit.selection, fit.trials
    else:
        found = select(inputs.analysis, scores.by_family, options, inputs.cost, latency)
    plan = planner.of(found)
    with atomic_write(path) as partial:
        partial.write_text(plan.to_json())
    return Choice(plan, scores, None, trials, trial_precisions=tuple(target.precisions))


class _Target:
    """The target machine: this worker, with the runtime that serves."""

    def __init__(self, inputs: Inputs, planner: Planner, provider: str) -> None:
        self._inputs, self._planner, self._provider = inputs, planner, provider
        self._folder = inputs.request.output_dir.parent
        selection = inputs.request.config.selection
        self._batch_size = selection.batch_size if isinstance(selection, BudgetSelection) else 1
        self._precision = selection.precision
        self._int8: Int8Trials | None = None
        self.precisions: list[Precision] = []

    def model(self) -> LatencyModel:
        """Return the latency model, calibrated with the dense network."""
        program = self._inputs.program
        self._inputs.reporter.progress(0, 2, "measuring layers", is_forced=True)
        export_dense(self._inputs)
        dense = self._compare(self._folder / DENSE_ONNX).latencies[0][0].p50_seconds
        num_threads = self._inputs.request.serving_num_threads
        fp32 = LayerTimer(num_threads, self._provider)
        analysis, size = self._inputs.analysis, self._batch_size
        if self._precision == "fp32":
            return LatencyModel(program, analysis, fp32, dense, size)
        timer = LayerTimer(num_threads, precision="int8")
        own = dense * self._int8_trials().dense_share
        return LatencyModel(program, analysis, timer, dense, size, fp32, own_seconds=own)

    def measure(self, selection: Selection) -> float:
        """Return the latency of the pruned network as a share of the dense latency.

        With precision int8 it is that of the faster of its fp32 and its int8 file.
        """
        inputs = self._inputs
        plan = self._planner.of(selection)
        path = self._folder / "trial.onnx"
        export_onnx(compact(inputs.program, inputs.analysis, plan), path)
        if self._precision == "int8":
            share, precision = self._int8_trials().measure(path)
        else:
            [[speedup]] = self._compare(self._folder / DENSE_ONNX, path).speedups
            share, precision = 1 / speedup.ratio, "fp32"
        self.precisions.append(precision)
        number = len(self.precisions)
        message = f"trial {number}: {share:.3f} of the dense latency in {precision}"
        inputs.reporter.progress(1, 2, message, is_forced=True)
        return share

    def _int8_trials(self) -> Int8Trials:
        if self._int8 is None:
            inputs, request = self._inputs, self._inputs.request
            samples = [*inputs.real_batches(), inputs.program.example_inputs(_NUM_CALIBRATED)][0]
            options = QuantizeOptions(
                batch_sizes=(self._batch_size,),
                num_threads=request.serving_num_threads,
                seconds=request.latency_seconds,
            )
            dense = self._folder / DENSE_ONNX
            self._int8 = Int8Trials(dense, inputs.program.inputs, samples, options)
        return self._int8

    def _compare(self, *paths: Path) -> Comparison:
        request = self._inputs.request
        return compare_latency(
            paths,
            self._inputs.program.inputs,
            (self._batch_size,),
            num_threads=request.serving_num_threads,
            provider=self._provider,
            seconds=request.latency_seconds,
        )

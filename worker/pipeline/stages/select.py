"""The stage select: from scores to what is retrained first, by rule, by clock or by search."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from app.contracts.report import AccuracyTrial
from app.contracts.spec import AccuracySelection, BudgetSelection
from app.contracts.suggestions import suggestion
from secateur.engine.export.onnx import export_onnx
from secateur.engine.files.atomic_write import atomic_write
from secateur.engine.graph.cost import CostModel
from secateur.engine.latency import LatencyModel, LayerTimer, fit_latency
from secateur.engine.measure import Comparison, compare_latency
from secateur.engine.plan import Plan, check_fits
from secateur.engine.ramp import RampedCuts
from secateur.engine.selection import Budget, Ratio, Selection, select
from secateur.engine.surgery import compact
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.options import selection_options
from worker.pipeline.stages.dense_onnx import DENSE_ONNX, export_dense
from worker.pipeline.stages.planning import Planner
from worker.pipeline.stages.saliency import Scores
from worker.pipeline.stages.search import search

_MAX_REASONS = 3


@dataclass(frozen=True)
class Choice:
    """The plan, and what was found out on the way.

    Attributes:
        plan: What stays; with an iterative schedule, after the first cut.
        scores: What it was made of.
        cuts: The cuts that follow.
        latency_trials: Shares of the dense latency that were asked of the model and measured.
        accuracy_trials: What the search tried.
    """

    plan: Plan
    scores: Scores
    cuts: RampedCuts | None = None
    latency_trials: tuple[tuple[float, float], ...] = ()
    accuracy_trials: tuple[AccuracyTrial, ...] = ()


def choose(inputs: Inputs, scores: Scores) -> Choice:
    """Return the plan that the config's selection makes of the scores.

    What was measured on a clock is not measured twice: an attempt that goes on after a crash
    finds the plan where the one before left it.

    Raises:
        NothingPrunableError: No family can lose a channel under these options.
        PlanError: A budget cannot be met, or no trial keeps a promise; the nearest is named.
        DataError: A search has no samples to measure on.
    """
    spec = inputs.request.config.selection
    planner = Planner(inputs, scores)
    names = inputs.program.parameters()
    for glob in selection_options(spec).unmatched(names):
        meant = suggestion(glob, names)
        inputs.reporter.warn(f"{glob!r} matches no parameter of the model{meant}")
    if isinstance(spec, AccuracySelection):
        found = search(inputs, planner, spec)
        choice = _by_rule(inputs, planner, scores, found.mode)
        choice = Choice(choice.plan, scores, choice.cuts, (), found.trials)
    elif spec.round_to == "auto" or (isinstance(spec, BudgetSelection) and spec.latency):
        choice = _by_clock(inputs, planner, scores)
    else:
        choice = _by_rule(inputs, planner, scores)
    _warn_if_nothing(inputs, choice.plan)
    return choice


def _by_rule(
    inputs: Inputs, planner: Planner, scores: Scores, mode: Budget | None = None
) -> Choice:
    rule = mode or planner.mode
    cuts = planner.cuts(rule) if isinstance(rule, (Budget, Ratio)) else None
    plan = cuts.first() if cuts is not None else planner.plan(inputs.program, rule)
    return Choice(plan, scores, cuts)


def _by_clock(inputs: Inputs, planner: Planner, scores: Scores) -> Choice:
    """Select with latencies measured on this worker, once for all attempts."""
    path = inputs.request.checkpoint_dir / f"plan-{_key(inputs)}.json"
    if path.exists():
        plan = Plan.from_json(path.read_text())
        check_fits(plan, inputs.program)
        return Choice(plan, scores)
    spec = inputs.request.config.selection
    options = selection_options(spec)
    cost = CostModel(inputs.program, inputs.analysis)
    target = _Target(inputs, planner)
    latency = target.model()
    trials: tuple[tuple[float, float], ...] = ()
    if isinstance(spec, BudgetSelection) and spec.latency is not None:
        inputs.reporter.progress(1, 2, "choosing widths by measured latency", is_forced=True)
        models = (cost, latency)
        fit = fit_latency(inputs.analysis, scores.by_family, options, models, target.measure)
        found, trials = fit.selection, fit.trials
    else:
        found = select(inputs.analysis, scores.by_family, options, cost, latency)
    plan = planner.of(found)
    with atomic_write(path) as partial:
        partial.write_text(plan.to_json())
    return Choice(plan, scores, None, trials)


class _Target:
    """The machine that the network is made for: this worker, with the runtime that serves it."""

    def __init__(self, inputs: Inputs, planner: Planner) -> None:
        self._inputs, self._planner = inputs, planner
        self._folder = inputs.request.output_dir.parent
        selection = inputs.request.config.selection
        self._batch_size = selection.batch_size if isinstance(selection, BudgetSelection) else 1
        self._num_trials = 0

    def model(self) -> LatencyModel:
        """Return the latency model, calibrated by the dense network."""
        program = self._inputs.program
        self._inputs.reporter.progress(0, 2, "measuring layers", is_forced=True)
        export_dense(self._inputs)
        dense = self._compare(self._folder / DENSE_ONNX).latencies[0][0].p50_seconds
        timer = LayerTimer(self._inputs.request.serving_num_threads)
        return LatencyModel(program, self._inputs.analysis, timer, dense, self._batch_size)

    def measure(self, selection: Selection) -> float:
        """Return the latency of the network pruned so, as a share of the dense one's."""
        inputs = self._inputs
        plan = self._planner.of(selection)
        path = self._folder / "trial.onnx"
        export_onnx(compact(inputs.program, inputs.analysis, plan), path)
        [[speedup]] = self._compare(self._folder / DENSE_ONNX, path).speedups
        self._num_trials += 1
        share = 1 / speedup.ratio
        message = f"trial {self._num_trials}: {share:.3f} of the dense latency"
        inputs.reporter.progress(1, 2, message, is_forced=True)
        return share

    def _compare(self, *paths: Path) -> Comparison:
        return compare_latency(
            paths,
            self._inputs.program.inputs,
            (self._batch_size,),
            num_threads=self._inputs.request.serving_num_threads,
        )


def _warn_if_nothing(inputs: Inputs, plan: Plan) -> None:
    if plan.num_removed > 0:
        return
    reasons = sorted({str(f.detail["reason"]) for f in plan.families})
    more = f" … ({len(reasons)} reasons)" if len(reasons) > _MAX_REASONS else ""
    inputs.reporter.warn(
        f"the selection removes nothing: {'; '.join(reasons[:_MAX_REASONS])}{more}"
    )


def _key(inputs: Inputs) -> str:
    """Name what a measured plan belongs to: config, model and data."""
    return hashlib.sha256(json.dumps(inputs.request.subject()).encode()).hexdigest()[:32]

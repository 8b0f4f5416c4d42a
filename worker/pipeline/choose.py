"""The stages saliency and select: from inputs to a plan."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from app.contracts.spec import BudgetSelection
from worker.engine.errors import DataError, NothingPrunableError
from worker.engine.export.onnx import export_onnx
from worker.engine.graph.cost import CostModel
from worker.engine.latency import LatencyModel, LayerTimer, fit_latency
from worker.engine.measure import compare_latency
from worker.engine.plan import Plan, check_fits, make_plan
from worker.engine.saliency import CRITERIA, agreement_with_loss
from worker.engine.selection import Selection, select
from worker.engine.surgery import compact
from worker.pipeline.inputs import Inputs
from worker.pipeline.options import saliency_options, selection_options

DENSE_ONNX = "dense.onnx"
_MAX_REASONS = 3


@dataclass(frozen=True)
class Choice:
    """The plan, and what was found out on the way.

    Attributes:
        plan: What stays.
        agreement: Spearman's rho of each criterion with the exact loss, where asked for.
        latency_trials: Shares of the dense latency that were asked of the model and measured.
    """

    plan: Plan
    agreement: dict[str, float]
    latency_trials: tuple[tuple[float, float], ...]


def measure_saliency(inputs: Inputs) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Return the scores of every family, and on request how criteria agree with the loss.

    Raises:
        NothingPrunableError: The network has no channel group that may go.
        DataError: The criterion looks at data, and there is none.
    """
    _refuse_if_frozen(inputs)
    config = inputs.request.config
    batches, options = inputs.calibration(), saliency_options(config)
    criterion = CRITERIA[config.criterion.kind]
    scores = criterion(inputs.program, inputs.analysis, batches, options)
    if not config.criterion.compare:
        return scores, {}
    if batches is None:
        raise DataError("criterion.compare needs a data set")
    return scores, agreement_with_loss(inputs.program, inputs.analysis, batches, options)


def choose(
    inputs: Inputs, saliency: dict[str, Tensor], agreement: dict[str, float] | None = None
) -> Choice:
    """Return the plan that the config's selection makes of the scores.

    What was measured on a clock is not measured twice: an attempt that goes on after a crash
    finds the plan where the one before left it.

    Raises:
        NothingPrunableError: No family can lose a channel under these options.
        PlanError: A budget cannot be met; the nearest point is named.
    """
    selection = inputs.request.config.selection
    is_latency = isinstance(selection, BudgetSelection) and selection.latency is not None
    is_measured = is_latency or selection.round_to == "auto"
    path = inputs.request.checkpoint_dir / f"plan-{_key(inputs)}.json"
    if is_measured and path.exists():
        plan = Plan.from_json(path.read_text())
        check_fits(plan, inputs.program)
        return Choice(plan, agreement or {}, ())
    found, trials = _select(inputs, saliency, is_measured=is_measured, is_latency=is_latency)
    for glob in found.unmatched:
        inputs.reporter.warn(f"{glob!r} matches no parameter of the model")
    plan = _plan(inputs, saliency, found)
    if is_measured:
        partial = path.with_suffix(".partial")
        partial.write_text(plan.to_json())
        partial.replace(path)
    if plan.num_removed == 0:
        reasons = sorted({str(f.detail["reason"]) for f in plan.families})
        more = f" … ({len(reasons)} reasons)" if len(reasons) > _MAX_REASONS else ""
        inputs.reporter.warn(
            f"the selection removes nothing: {'; '.join(reasons[:_MAX_REASONS])}{more}"
        )
    return Choice(plan, agreement or {}, trials)


def _refuse_if_frozen(inputs: Inputs) -> None:
    if inputs.analysis.families:
        return
    if not inputs.analysis.frozen:
        raise NothingPrunableError(
            "the network has no convolution or linear layer whose filters could be removed"
        )
    reasons = sorted({f"{f.tensor}: {f.pin.reason}" for f in inputs.analysis.frozen})
    raise NothingPrunableError(
        f"every layer of the network is frozen ({'; '.join(reasons[:_MAX_REASONS])})"
    )


def _select(
    inputs: Inputs, saliency: dict[str, Tensor], *, is_measured: bool, is_latency: bool
) -> tuple[Selection, tuple[tuple[float, float], ...]]:
    options = selection_options(inputs.request.config.selection)
    cost = CostModel(inputs.program, inputs.analysis)
    if not is_measured:
        return select(inputs.analysis, saliency, options, cost), ()
    target = _Target(inputs, saliency)
    latency = target.model()
    if not is_latency:
        return select(inputs.analysis, saliency, options, cost, latency), ()
    inputs.reporter.progress(1, 2, "choosing widths by measured latency", is_forced=True)
    found = fit_latency(inputs.analysis, saliency, options, (cost, latency), target.measure)
    return found.selection, found.trials


class _Target:
    """The machine that the network is made for: this worker, with the runtime that serves it."""

    def __init__(self, inputs: Inputs, saliency: dict[str, Tensor]) -> None:
        self._inputs, self._saliency = inputs, saliency
        self._folder = inputs.request.output_dir.parent
        selection = inputs.request.config.selection
        self._batch_size = selection.batch_size if isinstance(selection, BudgetSelection) else 1
        self._num_trials = 0

    def model(self) -> LatencyModel:
        """Return the latency model, calibrated by the dense network."""
        program = self._inputs.program
        self._inputs.reporter.progress(0, 2, "measuring layers", is_forced=True)
        export_onnx(program, self._folder / DENSE_ONNX)
        [[dense]] = self._compare(self._folder / DENSE_ONNX)
        timer = LayerTimer(self._inputs.request.serving_num_threads)
        return LatencyModel(program, self._inputs.analysis, timer, dense, self._batch_size)

    def measure(self, selection: Selection) -> float:
        """Return the latency of the network pruned so, as a share of the dense one's."""
        inputs = self._inputs
        plan = _plan(inputs, self._saliency, selection)
        path = self._folder / "trial.onnx"
        export_onnx(compact(inputs.program, inputs.analysis, plan), path)
        [[dense], [pruned]] = self._compare(self._folder / DENSE_ONNX, path)
        self._num_trials += 1
        share = pruned / dense
        message = f"trial {self._num_trials}: {share:.3f} of the dense latency"
        inputs.reporter.progress(1, 2, message, is_forced=True)
        return share

    def _compare(self, *paths: Path) -> list[list[float]]:
        request = self._inputs.request
        found = compare_latency(
            paths,
            self._inputs.program.inputs,
            (self._batch_size,),
            num_threads=request.serving_num_threads,
        )
        return [[latency.p50_seconds for latency in each] for each in found]


def _plan(inputs: Inputs, saliency: dict[str, Tensor], selection: Selection) -> Plan:
    config = inputs.request.config
    settings: dict[str, Any] = {
        "criterion": config.criterion.model_dump(mode="json"),
        "selection": config.selection.model_dump(mode="json"),
        "seed": config.seed,
    }
    return make_plan(
        inputs.program,
        inputs.analysis,
        selection.keeps,
        saliency=saliency,
        details=selection.details,
        settings=settings,
    )


def _key(inputs: Inputs) -> str:
    """Name what a measured plan belongs to: config, model and data."""
    request = inputs.request
    parts = [request.config.model_dump_json(), request.model_sha256, request.dataset_sha256]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

"""The retrain stage: from a plan to a trained network, with checkpoints, resuming and its device.

Also used by the search (a trial is a training run) and by the baselines; each run has a checkpoint
folder of its own, so a run that has ended is never run again. Training is what costs; everything
else of a job runs on the CPU.
"""

import hashlib
import json
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from app.contracts.report import CutReport, EpochsReport
from app.contracts.spec import IterativeSchedule
from secateur.engine.errors import DataError
from secateur.engine.files.atomic_write import atomic_write
from secateur.engine.metrics import Metrics
from secateur.engine.plan import Plan
from secateur.engine.program.program import Program
from secateur.engine.ramp import RampedCuts
from secateur.engine.retrain import (
    EpochRecord,
    Hooks,
    Phase,
    RetrainOptions,
    RetrainState,
    TrainingData,
    load_state,
    retrain,
    save_state,
)
from secateur.engine.retrain.pace import seconds_per_step
from secateur.engine.retrain.range_test import RangeTest, find_learning_rate
from secateur.engine.samples import SampleSource
from secateur.engine.surgery import compact, keep_masks, mask_program
from worker.pipeline.data import Split
from worker.pipeline.job.inputs import NUM_RECALIBRATION_SAMPLES, Inputs
from worker.pipeline.report.describe import epoch_report
from worker.pipeline.stages.epochs import Epochs, decide_epochs
from worker.pipeline.stages.keep import Candidate, Kept, keep_best

_RANGE_TEST = "range_test.json"
_FEW_STEPS = 100  # an epoch, with which running statistics lag behind the weights


@dataclass(frozen=True)
class Trained:
    """A pruned network, trained.

    Attributes:
        kept: The best of what it was on the way.
        plan: What it keeps of the dense network: with an iterative schedule, after the last cut.
        history: One record an epoch.
        learning_rate: The peak of the schedule; None without training.
        range_test: How it was found, if it was not given.
        cuts: When an iterative schedule cut, and what each cut left.
        epochs: How many were to be trained, and why; None without training.
    """

    kept: Kept
    plan: Plan
    history: tuple[EpochRecord, ...] = ()
    learning_rate: float | None = None
    range_test: RangeTest | None = None
    cuts: tuple[CutReport, ...] = ()
    epochs: EpochsReport | None = None

    @property
    def program(self) -> Program:
        """The network that is kept, compacted."""
        return self.kept.chosen.program


@dataclass(frozen=True)
class Start:
    """Where a training run begins.

    Attributes:
        plan: What is left.
        twin: The masked twin, recalibrated.
        cuts: What an iterative schedule does on the way.
        label: Tells runs of one plan apart, such as a baseline's.
        is_reset: Whether the twin has new weights, so that the dense network's are no candidate.
    """

    plan: Plan
    twin: Program
    cuts: RampedCuts | None = None
    label: str = ""
    is_reset: bool = False


def start_of(inputs: Inputs, plan: Plan, cuts: RampedCuts | None = None) -> Start:
    """Return the beginning of the run that a plan asks for: masked and recalibrated."""
    return Start(plan, inputs.recalibrated(mask_program(inputs.program, plan)), cuts)


def train(inputs: Inputs, start: Start) -> Trained:
    """Train the network of a plan from the newest checkpoint of this very run, or from the start.

    What is kept is the best on the validation samples: pruned, recalibrated or of some epoch.

    Raises:
        DataError: The data set has no training samples, or does not fit the objective.
        DivergenceError: The loss is not finite, at a tenth of the learning rate too.
    """
    config, program, analysis = inputs.request.config.retrain, inputs.program, inputs.analysis
    if inputs.objective is None:
        return Trained(keep_best(_untrained(inputs, start, start.plan), 0), start.plan)
    data, device = inputs.training_data(), inputs.request.device
    if device != "cpu":
        data = replace(data, source=_OnDevice(data.source, torch.device(device)))
    phase = _phase(inputs, start)
    folder = inputs.request.checkpoint_dir / _key(inputs, start)
    folder.mkdir(parents=True, exist_ok=True)
    teacher = program.to(device)
    options, epochs = _with_epochs(inputs, phase, data, teacher)
    options, found = _with_learning_rate(inputs, phase, data, options, teacher, folder)
    with inputs.reporter.stop.deferred():
        result = retrain(
            phase.program,
            data,
            options,
            teacher=teacher,
            masks=phase.masks,
            cuts=start.cuts,
            note=phase.note,
            start=_start_metrics(inputs, start, found),
            hooks=_hooks(inputs, options, folder),
            resume=_resume(folder),
        )
    plan = Plan.from_json(result.note)
    trained = result.program.to("cpu")
    if config.mode == "masked":
        trained = compact(trained, analysis, plan)
    rate = options.optimizer.learning_rate * 0.1**result.num_restarts
    best = _settled(inputs, Candidate("epoch", trained, None, result.kept_epoch))
    kept = keep_best((*_untrained(inputs, start, plan), best), len(result.history))
    cuts = _cut_reports(start.cuts, result.num_steps)
    return Trained(kept, plan, result.history, rate, found, cuts, epochs.report(config.epochs))


def _start_metrics(inputs: Inputs, start: Start, found: RangeTest | None) -> Metrics | None:
    """Return what the first epoch is compared with: nothing, where a user gave the rate."""
    if found is None or start.cuts is not None:
        return None
    return inputs.score(compact(start.twin, inputs.analysis, start.plan), Split.VALIDATION)


def _untrained(inputs: Inputs, start: Start, plan: Plan) -> tuple[Candidate, ...]:
    """Return the networks that a plan leaves without training."""
    analysis = inputs.analysis
    pruned = compact(inputs.program, analysis, plan)
    recalibrated = (
        inputs.recalibrated(pruned)
        if start.cuts is not None
        else compact(start.twin, analysis, plan)
    )
    last = Candidate("recalibrated", recalibrated, inputs.score(recalibrated, Split.VALIDATION))
    if start.is_reset:
        return (last,)
    return Candidate("pruned", pruned, inputs.score(pruned, Split.VALIDATION)), last


def ramp_of(inputs: Inputs) -> IterativeSchedule | None:
    """Return the iterative schedule, if the config has one."""
    schedule = inputs.request.config.schedule
    return schedule if isinstance(schedule, IterativeSchedule) else None


def _phase(inputs: Inputs, start: Start) -> Phase:
    device, note = inputs.request.device, start.plan.to_json()
    if inputs.request.config.retrain.mode == "masked":
        twin = start.twin.to(device)
        return Phase(twin, keep_masks(twin, start.plan), note)
    return Phase(compact(start.twin, inputs.analysis, start.plan).to(device), {}, note)


def _with_epochs(
    inputs: Inputs, phase: Phase, data: TrainingData, teacher: Program
) -> tuple[RetrainOptions, Epochs]:
    """Return options with a number of epochs: the one given, or one that suits data and time."""
    options = inputs.retrain_options()
    request = inputs.request
    num_steps = len(data.train) // min(options.batch_size, len(data.train))
    settling = NUM_RECALIBRATION_SAMPLES if num_steps < _FEW_STEPS else 0
    options = replace(options, num_settling_samples=settling)
    epochs = decide_epochs(
        request.config,
        num_steps,
        request.time_limit_seconds,
        lambda: seconds_per_step(phase.program, data, options, teacher, phase.masks),
        request.checkpoint_dir / f"epochs-{_job_key(inputs)}.json",
    )
    return replace(options, epochs=epochs.num), epochs


def _with_learning_rate(  # what a training run needs
    inputs: Inputs,
    phase: Phase,
    data: TrainingData,
    options: RetrainOptions,
    teacher: Program,
    folder: Path,
) -> tuple[RetrainOptions, RangeTest | None]:
    """Return options with a learning rate: the one given, or one that a range test finds."""
    if inputs.request.config.retrain.optimizer.learning_rate is not None:
        return options, None
    path = folder / _RANGE_TEST
    if path.exists():
        body = json.loads(path.read_text())
        found = RangeTest(body["learning_rate"], tuple((a, b) for a, b in body["curve"]))
    else:
        inputs.reporter.progress(0, 1, "looking for a learning rate", is_forced=True)
        found = find_learning_rate(phase.program, data, options, teacher, phase.masks)
        with atomic_write(path) as partial:
            partial.write_text(json.dumps(vars(found)))
    rate = found.learning_rate
    return replace(options, optimizer=replace(options.optimizer, learning_rate=rate)), found


def _hooks(inputs: Inputs, options: RetrainOptions, folder: Path) -> Hooks:
    reporter = inputs.reporter
    saved_at = time.monotonic()

    def is_save_due() -> bool:
        is_late = time.monotonic() - saved_at >= inputs.request.checkpoint_seconds
        return is_late or reporter.stop.is_requested

    def tell(record: EpochRecord) -> None:
        found = epoch_report(record).model_dump()
        run = {"run": reporter.title, "metric": inputs.primary_metric, "num_epochs": options.epochs}
        reporter.metric({"kind": "epoch", **run, **found})

    def save(state: RetrainState) -> None:
        nonlocal saved_at
        save_state(state, folder)
        saved_at = time.monotonic()
        reporter.saved()
        if reporter.stop.is_requested:
            reporter.stop.exit()

    return Hooks(
        on_step=lambda step, total: reporter.progress(
            step, total, f"step {step} of {total}", cycle=total // options.epochs
        ),
        on_epoch=tell,
        on_restart=reporter.warn,
        checkpoint=save,
        is_save_due=is_save_due,
    )


def _cut_reports(cuts: RampedCuts | None, num_steps: int) -> tuple[CutReport, ...]:
    if cuts is None:
        return ()
    steps = (0, *cuts.steps(num_steps))
    pairs = zip(steps, cuts.targets(), strict=True)
    return tuple(CutReport(step=step, target=target) for step, target in pairs)


def _settled(inputs: Inputs, candidate: Candidate) -> Candidate:
    """Return the network with recalibrated statistics, if it is better on the validation samples.

    Running averages lag behind the last steps and have seen augmented images; the plain average
    over training images is usually, and not always, better.
    """
    program = candidate.program
    before = replace(candidate, metrics=inputs.score(program, Split.VALIDATION))
    if before.metrics is None:
        return before
    recalibrated = inputs.recalibrated(program)
    after = inputs.score(recalibrated, Split.VALIDATION)
    found = replace(candidate, program=recalibrated, metrics=after)
    return found if found.rank > before.rank else before


@dataclass(frozen=True)
class _OnDevice:
    """Samples on an accelerator; copied from pinned memory, while it computes. Never run on one."""

    source: SampleSource
    device: torch.device

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return a batch of the source on the device."""
        x, y = self.source.batch(indices)
        moved = x.pin_memory().to(self.device, non_blocking=True)
        return moved, None if y is None else y.to(self.device, non_blocking=True)


def _key(inputs: Inputs, start: Start) -> str:
    """Name what a checkpoint belongs to: config, model, data, plan, later cuts and label."""
    return _hash(
        [
            *_job_parts(inputs),
            start.plan.to_json(),
            # Two goals may begin with one plan.
            start.cuts.targets() if start.cuts is not None else (),
            start.label,
        ]
    )


def _job_key(inputs: Inputs) -> str:
    return _hash(_job_parts(inputs))


def _job_parts(inputs: Inputs) -> list[object]:
    return [*inputs.request.subject()]


def _hash(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _resume(folder: Path) -> RetrainState | None:
    try:
        return load_state(folder)
    except DataError:  # damaged: starting over loses time, failing would lose the job
        return None

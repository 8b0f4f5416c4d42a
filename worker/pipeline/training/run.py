"""One training run: from a plan to a trained network, resumed from a checkpoint if one exists.

The retrain stage, each baseline and each trial of a search are separate runs. Each has its own
checkpoint folder, so a finished run is never repeated.
"""

from dataclasses import dataclass, replace

from app.contracts.report import CutReport
from secateur.engine.metrics import Metrics
from secateur.engine.plan import Plan
from secateur.engine.program.program import Program
from secateur.engine.ramp import RampedCuts
from secateur.engine.retrain import Phase, retrain_program
from secateur.engine.retrain.range_test import RangeTest
from secateur.engine.retrain.unfolding import Unfolded, unfold
from secateur.engine.samples import spread
from secateur.engine.surgery import compact, keep_masks
from worker.pipeline.data import Split
from worker.pipeline.job.identity import job_key
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.kept import Candidate, What, keep_best
from worker.pipeline.job.results import Trained
from worker.pipeline.job.settling import repair_kind, settled, settled_twin
from worker.pipeline.training.checkpoints import hooks, resume
from worker.pipeline.training.decisions import decide_learning_rate, decide_length

_NUM_UNFOLDING_SAMPLES, _UNFOLDING_BATCH = 512, 64


@dataclass(frozen=True)
class Start:
    """The starting point of a training run.

    Attributes:
        plan: Channels that are kept.
        twin: The masked twin, repaired or recalibrated.
        cuts: Later cuts of an iterative schedule.
        label: Distinguishes runs of the same plan, such as a baseline.
        is_reset: Whether the twin has new weights; then the untrained network is no candidate.
    """

    plan: Plan
    twin: Program
    cuts: RampedCuts | None = None
    label: str = ""
    is_reset: bool = False


def start_of(inputs: Inputs, plan: Plan, cuts: RampedCuts | None = None) -> Start:
    """Return the start of a plan's run: the masked twin, repaired or recalibrated."""
    return Start(plan, settled_twin(inputs, inputs.program, plan), cuts)


def train(inputs: Inputs, start: Start) -> Trained:
    """Train the network of a plan, resuming from the newest checkpoint of the same run.

    Returns the best network on the validation samples: pruned, recalibrated, repaired or after any
    epoch.

    Raises:
        DataError: The data set has no training samples, or does not fit the objective.
        DivergenceError: The loss is not finite, even at a tenth of the learning rate.
    """
    config, program, analysis = inputs.request.config.retrain, inputs.program, inputs.analysis
    if inputs.objective is None:
        return Trained(keep_best(_untrained(inputs, start, start.plan), 0), start.plan)
    data, teacher = inputs.training_data(), inputs.on_device(program)
    phase = _phase(inputs, start)
    unfolded = _unfolded(inputs, start, phase)
    if unfolded is not None:
        phase = replace(phase, program=unfolded.program)
    folder = inputs.request.checkpoint_dir / _key(inputs, start, is_unfolded=unfolded is not None)
    folder.mkdir(parents=True, exist_ok=True)
    options, epochs = decide_length(inputs, phase, data, teacher)
    options, found = decide_learning_rate(inputs, phase, data, options, teacher, folder)
    state = resume(folder)
    with inputs.reporter.stop.deferred():
        result = retrain_program(
            phase.program,
            data,
            options,
            teacher=teacher,
            masks=phase.masks,
            cuts=start.cuts,
            note=phase.note,
            start=_start_metrics(inputs, start, found),
            hooks=hooks(inputs, options, folder, state),
            resume=state,
        )
    plan = Plan.from_json(result.note)
    trained = result.program.to("cpu")
    if config.mode == "masked":
        trained = compact(trained, analysis, plan)
    rate = options.optimizer.learning_rate * 0.1**result.num_restarts
    best = _settled(inputs, Candidate("epoch", trained, None, result.kept_epoch))
    if unfolded is not None:
        best = replace(best, program=unfolded.fold(best.program))
    kept = keep_best((*_untrained(inputs, start, plan), best), len(result.history))
    cuts = _cut_reports(start.cuts, result.num_steps)
    return Trained(
        kept, plan, result.history, rate, found, cuts, epochs.report(config.epochs),
        0 if unfolded is None else len(unfolded.layers),
    )  # fmt: skip


def _start_metrics(inputs: Inputs, start: Start, found: RangeTest | None) -> Metrics | None:
    """Return the metrics to compare the first epoch with.

    None if the user set the learning rate, or if the schedule is iterative.
    """
    if found is None or start.cuts is not None:
        return None
    return inputs.score(compact(start.twin, inputs.analysis, start.plan), Split.VALIDATION)


def _untrained(inputs: Inputs, start: Start, plan: Plan) -> tuple[Candidate, ...]:
    """Return the candidates that need no training."""
    analysis = inputs.analysis
    if start.is_reset:
        twin = compact(start.twin, analysis, plan)
        return (Candidate("recalibrated", twin, inputs.score(twin, Split.VALIDATION)),)
    pruned = compact(inputs.program, analysis, plan)
    found: list[tuple[What, Program]] = [("pruned", pruned)]
    recalibrated = inputs.recalibrated(pruned)
    if recalibrated is not pruned:  # there are samples, and statistics to measure with them
        found.append(("recalibrated", recalibrated))
    if repair_kind(inputs) != "none":
        found.append(("repaired", settled(inputs, inputs.program, plan)))
    return tuple(
        Candidate(what, program, inputs.score(program, Split.VALIDATION)) for what, program in found
    )


def _phase(inputs: Inputs, start: Start) -> Phase:
    device, note = inputs.device, start.plan.to_json()
    if inputs.request.config.retrain.mode == "masked":
        twin = start.twin.to(device)
        return Phase(twin, keep_masks(twin, start.plan), note)
    return Phase(compact(start.twin, inputs.analysis, start.plan).to(device), {}, note)


def _unfolded(inputs: Inputs, start: Start, phase: Phase) -> Unfolded | None:
    """Return the network with the BatchNorm that an exporter to ONNX has folded, if it did.

    None as well where the graph of the file is needed: with masks, with later cuts, and where
    features are compared with the teacher's.
    """
    retrain = inputs.request.config.retrain
    is_bound = start.cuts is not None or retrain.mode == "masked" or retrain.distill.features > 0
    if inputs.program.origin is None or is_bound or inputs.dataset is None:
        return None
    chosen = spread(inputs.dataset.indices(Split.TRAIN), _NUM_UNFOLDING_SAMPLES)
    parts = chosen.split(_UNFOLDING_BATCH)
    return unfold(phase.program, [inputs.source.batch(part)[0] for part in parts])


def _cut_reports(cuts: RampedCuts | None, num_steps: int) -> tuple[CutReport, ...]:
    if cuts is None:
        return ()
    steps = (0, *cuts.steps(num_steps))
    pairs = zip(steps, cuts.targets(), strict=True)
    return tuple(CutReport(step=step, target=target) for step, target in pairs)


def _settled(inputs: Inputs, candidate: Candidate) -> Candidate:
    """Return the network with recalibrated statistics, if it is better on the validation samples.

    Running averages lag behind the last steps and include augmented images. The plain average
    over training images is usually better, but not always.
    """
    program = candidate.program
    before = replace(candidate, metrics=inputs.score(program, Split.VALIDATION))
    if before.metrics is None:
        return before
    recalibrated = inputs.recalibrated(program)
    if recalibrated is program:
        return before
    after = inputs.score(recalibrated, Split.VALIDATION)
    found = replace(candidate, program=recalibrated, metrics=after)
    return found if found.rank > before.rank else before


def _key(inputs: Inputs, start: Start, *, is_unfolded: bool) -> str:
    """Return the key of a checkpoint: a hash of job, plan, later cuts, label and BatchNorm."""
    # Two targets may start from the same plan; the later cuts distinguish them.
    targets = start.cuts.targets() if start.cuts is not None else ()
    label = f"{start.label} with BatchNorm" if is_unfolded else start.label
    return job_key(inputs.request, start.plan.to_json(), targets, label)

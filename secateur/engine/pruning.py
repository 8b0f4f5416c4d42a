"""All pruning steps on one program: groups, saliency, selection, surgery, repair, certificate.

Called by `secateur.prune`. The service's jobs run the same steps one by one, and save, measure and
report between them.
"""

from dataclasses import dataclass
from typing import Literal

from secateur.engine.errors import DataError, PlanError
from secateur.engine.graph.analysis import analyse
from secateur.engine.graph.cost import CostModel
from secateur.engine.plan import Plan, make_plan
from secateur.engine.program.program import Program
from secateur.engine.repair import (
    Repaired,
    RepairOptions,
    fold_program,
    may_fold,
    repair_program,
)
from secateur.engine.saliency import CRITERIA, CalibrationBatches, SaliencyOptions
from secateur.engine.selection import SelectionOptions, select
from secateur.engine.surgery.certificate import Certificate, certify
from secateur.engine.surgery.compact import compact
from secateur.engine.surgery.mask import expand_program

RepairKind = Literal["reconstruct", "fold", "none"]

_NUM_RANDOM, _NUM_REAL = 2, 8  # samples that the certificate compares


@dataclass(frozen=True)
class Smaller:
    """A program with fewer channels, with its plan and certificate.

    Attributes:
        program: The smaller program.
        plan: The channel groups kept.
        certificate: The comparison with the masked twin.
        repair: How the network was repaired.
        num_repair_samples: Samples that the weights were refitted from; 0 for other repairs.
    """

    program: Program
    plan: Plan
    certificate: Certificate
    repair: RepairKind = "none"
    num_repair_samples: int = 0


def prune_program(
    program: Program,
    options: SelectionOptions,
    *,
    criterion: str = "l1",
    batches: CalibrationBatches = (),
    is_repaired: bool = True,
    seed: int = 0,
) -> Smaller:
    """Score all channel groups, remove the least salient and certify the result, without training.

    Args:
        program: The program to prune; it is not changed.
        options: The selection rule and its limits.
        criterion: A name in `CRITERIA`.
        batches: Calibration batches, on the CPU, for criteria that look at samples, and for repair.
        is_repaired: Whether to refit the kept weights from the batches, or to fold the removed
            channels into similar ones if there are no batches.
        seed: Seed of criterion ``random`` and of the certificate's samples.

    Raises:
        DataError: The criterion needs samples or labels, and there are none.
        PlanError: There is no such criterion, or the budget cannot be met.
        NothingPrunableError: No channel group can be removed under these options.
        EquivalenceError: The smaller program does not compute what the masked twin computes.
    """
    score = CRITERIA.get(criterion)
    if score is None:
        raise PlanError(f"criterion is {criterion!r}; it is one of {', '.join(sorted(CRITERIA))}")
    analysis = analyse(program)
    try:
        scores = score(program, analysis, batches or None, SaliencyOptions(seed=seed))
    except DataError as error:
        if batches:
            raise
        raise DataError(
            f"{error}: give some of the training set as data=[(inputs, labels), …], or choose a "
            "criterion that needs none, such as l1"
        ) from error
    found = select(analysis, scores, options, CostModel(program, analysis))
    plan = make_plan(
        program,
        analysis,
        found.keeps,
        saliency=scores,
        details=found.details,
        settings={"criterion": criterion, "seed": seed},
    )
    repaired = Repaired(compact(program, analysis, plan), (), 0)
    kind: RepairKind = "none"
    twin = None
    if is_repaired and batches:
        kind, inputs = "reconstruct", [batch.inputs for batch in batches]
        repaired = repair_program(program, analysis, plan, inputs, RepairOptions(seed=seed))
    elif is_repaired and may_fold(program):
        folded = fold_program(program, analysis, plan)
        kind, repaired, twin = "fold", Repaired(folded.program, (), 0), folded.twin
    twin = twin or expand_program(program, plan, repaired.program)
    pruned = {family.name for family in plan.families if family.num_removed}
    inexact = {op for f in analysis.families if f.name in pruned for op in f.inexact_ops}
    samples = [program.example_inputs(_NUM_RANDOM, seed)]
    samples += [tuple(x[:_NUM_REAL] for x in batch.inputs) for batch in batches[:1]]
    certificate = certify(twin, repaired.program, samples, tuple(sorted(inexact)))
    return Smaller(repaired.program, plan, certificate, kind, repaired.num_samples)

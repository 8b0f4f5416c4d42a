"""All pruning steps on one program: groups, saliency, selection, surgery, repair, certificate.

Called by `secateur.prune`. The service's jobs run the same steps one by one, and save, measure and
report between them.
"""

from dataclasses import dataclass
from typing import Any, Literal

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
from secateur.engine.surgery.audit import inexact_ops
from secateur.engine.surgery.certificate import Certificate, certify, num_certified
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


def prune_program(  # noqa: PLR0913  # options that each have a default
    program: Program,
    options: SelectionOptions,
    *,
    criterion: str = "l1",
    batches: CalibrationBatches = (),
    is_repaired: bool = True,
    has_exact_norms: bool = False,
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
        has_exact_norms: Whether norms over removed channels go on counting them as zeros, as in
            `analyse`.
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
    analysis = analyse(program, has_exact_norms=has_exact_norms)
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
    kind: RepairKind = "none"
    if is_repaired:
        kind = "reconstruct" if batches else "fold" if may_fold(program) else "none"
    settings: dict[str, Any] = {
        "criterion": criterion,
        "seed": seed,
        "selection": {"norms": "exact" if has_exact_norms else "fused"},
    }
    if kind == "fold":
        settings["repair"] = {"kind": "fold"}
    plan = make_plan(
        program,
        analysis,
        found.keeps,
        saliency=scores,
        details=found.details,
        settings=settings,
    )
    repaired = Repaired(compact(program, analysis, plan), (), 0)
    twin = None
    if kind == "reconstruct":
        inputs = [batch.inputs for batch in batches]
        repaired = repair_program(program, analysis, plan, inputs, RepairOptions(seed=seed))
    elif kind == "fold":
        folded = fold_program(program, analysis, plan)
        repaired, twin = Repaired(folded.program, (), 0), folded.twin
    twin = twin or expand_program(program, plan, repaired.program)
    samples = [program.example_inputs(num_certified(program, _NUM_RANDOM), seed)]
    num_real = num_certified(program, _NUM_REAL)
    samples += [tuple(x[:num_real] for x in batch.inputs) for batch in batches[:1]]
    certificate = certify(twin, repaired.program, samples, inexact_ops(analysis, plan))
    return Smaller(repaired.program, plan, certificate, kind, repaired.num_samples)

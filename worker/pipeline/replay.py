"""Apply a plan to a model with the same graph, without training. Weights may differ.

The repair of the plan's job is repeated: folding always, refitting with samples.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from app.contracts.spec import PreprocessSpec, PruneConfig
from secateur.engine.errors import PlanError
from secateur.engine.export.formats import EXPORT_FORMATS, write_files
from secateur.engine.export.onnx import ONNX
from secateur.engine.graph import Analysis, analyse
from secateur.engine.measure import count_macs, count_parameters
from secateur.engine.plan import Plan, check_consistent
from secateur.engine.program.precision import as_stored
from secateur.engine.program.program import Program
from secateur.engine.repair import Repaired, fold_program
from secateur.engine.surgery import (
    Certificate,
    audit,
    certify,
    certify_retrained,
    compact,
    inexact_ops,
    num_certified,
)

_NUM_CHECKED = 8


def apply_plan(
    program: Program, plan: Plan, folder: Path, repair: Callable[[], Repaired] | None = None
) -> dict[str, Any]:
    """Write ``plan.json`` and the pruned network in every export format to a folder.

    Args:
        program: The network before the cut.
        plan: Channel groups to keep.
        folder: Folder for the files.
        repair: Returns the network of the plan with refitted weights; None: as the plan's job
            folded it, or else a plain cut.

    Returns:
        Costs before and after, the certificate, and the repair.

    Raises:
        PlanError: The plan is for another graph, or is inconsistent.
        EquivalenceError: The compacted network and the masked one give different outputs.
        ExportError: The ONNX file and the network give different outputs.
    """
    analysis = analyse(program, has_exact_norms=_norms(plan) == "exact")
    check_consistent(plan, program, analysis)
    batches = [program.example_inputs(num_certified(program, _NUM_CHECKED))]
    parts = audit(program, analysis, plan, batches)
    smaller, about = _repaired(program, analysis, plan, batches, repair)
    pruned = as_stored(smaller)
    folder.mkdir(parents=True, exist_ok=True)
    errors = write_files(pruned, folder, EXPORT_FORMATS, [pruned.example_inputs(3)])
    (folder / "plan.json").write_text(plan.to_json())
    return {
        "dense": {"macs": count_macs(program), "num_parameters": count_parameters(program)},
        "pruned": {"macs": count_macs(pruned), "num_parameters": count_parameters(pruned)},
        "exact_groups_float64_max_relative_error": (
            None if parts.exact is None else parts.exact.max_relative_error
        ),
        "inexact": [
            {
                "op": part.op,
                "groups": part.families,
                "float64_max_relative_error": part.float64.max_relative_error,
            }
            for part in parts.inexact
        ],
        "repair": about,
        "onnx_max_absolute_error": errors[ONNX.name],
    }


def _repaired(
    program: Program,
    analysis: Analysis,
    plan: Plan,
    batches: Sequence[tuple[Tensor, ...]],
    repair: Callable[[], Repaired] | None,
) -> tuple[Program, dict[str, Any] | None]:
    """Return the smaller network, certified, and how it was repaired; None if it was not.

    Raises:
        EquivalenceError: The network differs from its twin.
    """
    if repair is not None:
        found = repair()
        proof = certify_retrained(program, analysis, plan, found.program, batches)
        about = {
            "kind": "reconstruct",
            "num_samples": found.num_samples,
            "num_weights": len(found.refits),
        }
        return found.program, about | _proof(proof)
    if repair_kind_of(plan) != "fold":
        return compact(program, analysis, plan), None
    folded = fold_program(program, analysis, plan)
    proof = certify(folded.twin, folded.program, batches, inexact_ops(analysis, plan))
    return folded.program, {"kind": "fold", "num_merged": folded.num_merged} | _proof(proof)


def _proof(certificate: Certificate) -> dict[str, float]:
    return {"float64_max_relative_error": certificate.float64.max_relative_error}


def repair_kind_of(plan: Plan) -> str:
    """Return how the plan's job repaired its network."""
    record = plan.settings.get("repair")
    if not isinstance(record, dict):
        return "none"
    return str(record.get("kind", "reconstruct"))  # older plans do not say


def repair_settings(plan: Plan) -> tuple[PruneConfig, PreprocessSpec, str]:
    """Return how a plan's job repaired: its config, and the preprocessing and hash of its samples.

    Raises:
        PlanError: The job repaired nothing, or the plan's record of it is damaged.
    """
    kind, record = repair_kind_of(plan), plan.settings.get("repair", {})
    if kind != "reconstruct":
        what = "folded its network" if kind == "fold" else "did not repair its network"
        raise PlanError(
            f"the plan's job {what}, so there is nothing to repeat with samples",
            hint="Leave out --data.",
        )
    try:
        config = PruneConfig.model_validate(
            {
                "selection": {"norms": _norms(plan)},
                "repair": {"kind": "reconstruct", **record["options"]},
                "split": record["split"],
                "seed": plan.settings["seed"],
                "retrain": {"epochs": 0},
            }
        )
        preprocess = PreprocessSpec.model_validate(record["preprocess"])
        return config, preprocess, str(record["dataset_sha256"])
    except (ValidationError, KeyError, TypeError) as error:
        raise PlanError(f"the plan's record of the repair is damaged: {error}") from error


def _norms(plan: Plan) -> str:
    """Return how the plan's job computes norms over removed channels."""
    return str(plan.settings.get("selection", {}).get("norms", "fused"))

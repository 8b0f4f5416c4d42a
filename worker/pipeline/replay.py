"""Apply a plan to a model with the same graph, without data or training. Weights may differ."""

from pathlib import Path
from typing import Any

from secateur.engine.export.formats import EXPORT_FORMATS, write_files
from secateur.engine.export.onnx import ONNX
from secateur.engine.graph import analyse
from secateur.engine.measure import count_macs, count_parameters
from secateur.engine.plan import Plan, check_consistent
from secateur.engine.program.precision import as_stored
from secateur.engine.program.program import Program
from secateur.engine.surgery import audit, compact

_NUM_CHECKED = 8


def apply_plan(program: Program, plan: Plan, folder: Path) -> dict[str, Any]:
    """Write ``plan.json`` and the pruned network in every export format to a folder.

    Returns:
        Costs before and after, and the certificate.

    Raises:
        PlanError: The plan is for another graph, or is inconsistent.
        EquivalenceError: The compacted network and the masked one give different outputs.
        ExportError: The ONNX file and the network give different outputs.
    """
    analysis = analyse(program)
    check_consistent(plan, program, analysis)
    parts = audit(program, analysis, plan, [program.example_inputs(_NUM_CHECKED)])
    pruned = as_stored(compact(program, analysis, plan))
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
        "onnx_max_absolute_error": errors[ONNX.name],
    }

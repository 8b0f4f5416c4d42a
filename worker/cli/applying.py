"""``secateur-engine apply`` with samples: cut by a plan and repeat the repair of its job."""

from pathlib import Path
from typing import Any

from app.contracts.spec import ArchitectureSpec
from app.terminal import LiteralConsole
from secateur.engine.plan import Plan
from worker.cli.local import local_request
from worker.cli.progress import ConsoleReporter
from worker.pipeline.job.inputs import open_inputs
from worker.pipeline.job.settling import repaired
from worker.pipeline.replay import apply_plan, repair_settings


def apply_with_samples(
    data: Path, model: Path, architecture: ArchitectureSpec | None, plan: Plan, out: Path
) -> dict[str, Any]:
    """Apply a plan and repeat the repair of its job; return what `apply_plan` returns.

    Raises:
        LocalError: The options do not fit together.
        EngineError: The plan, the model or the samples do not fit.
    """
    config, preprocess, sha256 = repair_settings(plan)
    with (
        local_request(model, architecture, config, data, out, "cpu", 0, preprocess) as request,
        ConsoleReporter(LiteralConsole(stderr=True)) as reporter,
    ):
        inputs = open_inputs(request, reporter)
        if request.require_dataset().sha256 != sha256:
            reporter.warn(f"{data.name} is not the data set that the plan's job repaired with")
        return apply_plan(inputs.program, plan, out, lambda: repaired(inputs, inputs.program, plan))

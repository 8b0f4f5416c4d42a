"""What the engine found, in the words of the report and of the intake verdict."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from app.contracts.report import (
    EpochReport,
    EquivalenceReport,
    FrozenReport,
    GroupReport,
    LatencyReport,
)
from worker.engine.graph import Analysis, Family, FrozenChannels
from worker.engine.measure import Latency, count_macs, count_parameters
from worker.engine.plan import Plan
from worker.engine.program.functional import op_name
from worker.engine.program.program import Program
from worker.engine.retrain import EpochRecord
from worker.engine.surgery import Certificate


def verdict(program: Program, analysis: Analysis) -> dict[str, Any]:
    """Return what is stored with a model: what it is, and what of it can be pruned."""
    ops = Counter(op_name(n.target) for n in program.graph.nodes if n.op == "call_function")
    num_prunable = sum(m.index_GK.numel() for f in analysis.families for m in f.producers())
    num_frozen = sum(frozen.num_channels for frozen in analysis.frozen)
    return {
        "format": "pt2",
        "num_parameters": count_parameters(program),
        "macs": count_macs(program),
        "inputs": [
            {"name": s.name, "shape": ["batch", *s.shape[1:]], "dtype": str(s.dtype)[6:]}
            for s in program.inputs
        ],
        "num_outputs": program.output_tree.num_leaves,
        "ops": dict(sorted(ops.items())),
        "num_prunable_filters": num_prunable,
        "num_frozen_filters": num_frozen,
        "groups": [_family(family) for family in analysis.families],
        "frozen": [frozen_report(frozen).model_dump() for frozen in analysis.frozen],
    }


def group_reports(analysis: Analysis, plan: Plan) -> tuple[GroupReport, ...]:
    """Return what became of each family."""
    planned = {family.name: family for family in plan.families}
    reports = []
    for family in analysis.families:
        chosen = planned[family.name]
        detail = dict(chosen.detail)
        reports.append(
            GroupReport(
                **_family(family),
                num_kept=len(chosen.kept),
                saliency=tuple(detail["curve"]),
                num_wanted=detail["num_wanted"],
                threshold=detail["threshold"],
                reason=detail["reason"],
            )
        )
    return tuple(reports)


def frozen_report(frozen: FrozenChannels) -> FrozenReport:
    """Return why filters stay."""
    return FrozenReport(
        tensor=frozen.tensor,
        dim=frozen.dim,
        num_channels=frozen.num_channels,
        reason=frozen.pin.reason,
        op=frozen.pin.op,
        source=frozen.pin.source,
    )


def equivalence_report(certificate: Certificate) -> EquivalenceReport:
    """Return the certificate."""
    return EquivalenceReport(
        is_exact=certificate.is_exact,
        inexact_ops=certificate.inexact_ops,
        float64_max_absolute_error=certificate.float64.max_absolute_error,
        float64_max_relative_error=certificate.float64.max_relative_error,
        float32_max_absolute_error=certificate.float32.max_absolute_error,
        float32_max_relative_error=certificate.float32.max_relative_error,
        num_samples=certificate.num_samples,
    )


def latency_reports(latencies: Sequence[Latency]) -> tuple[LatencyReport, ...]:
    """Return measured times."""
    return tuple(
        LatencyReport(
            batch_size=found.batch_size,
            num_threads=found.num_threads,
            provider=found.provider,
            p50=found.p50_seconds,
            p95=found.p95_seconds,
            num_runs=found.num_runs,
        )
        for found in latencies
    )


def finite(value: float | None) -> float | None:
    """Return a number that JSON can hold: None for NaN and infinities."""
    return value if value is not None and math.isfinite(value) else None


def epoch_report(record: EpochRecord) -> EpochReport:
    """Return the numbers of one epoch."""
    return EpochReport(
        epoch=record.epoch,
        train_loss=record.train_loss,
        validation_loss=finite(record.val_loss),
        validation_top1=record.val_accuracy,
        learning_rate=record.learning_rate,
        seconds=round(record.seconds, 3),
    )


def _family(family: Family) -> dict[str, Any]:
    return {
        "name": family.name,
        "num_groups": family.num_groups,
        "members": [f"{member.tensor}[{member.dim}]" for member in family.members],
        "is_exact": family.is_exact,
        "inexact_ops": list(family.inexact_ops),
    }

"""Converts the engine's results to parts of the report and of the intake verdict."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx

from app.contracts.layers import LayerSummary, PlanSummary, points_a_layer, thin
from app.contracts.report import (
    EpochReport,
    EquivalenceReport,
    FrozenReport,
    GroupReport,
    InexactReport,
    LatencyReport,
    LoadReport,
    RangeTestReport,
    SpeedupReport,
)
from secateur.engine.graph import Analysis, Family, FrozenChannels
from secateur.engine.graph.cost import CostModel
from secateur.engine.latency.load import Load
from secateur.engine.measure import Latency, Speedup, count_macs, count_parameters
from secateur.engine.objectives import LabelKind
from secateur.engine.objectives.outputs import output_kinds
from secateur.engine.plan import Plan
from secateur.engine.program.functional import op_name
from secateur.engine.program.macs import mac_terms, num_macs
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import num_analysed
from secateur.engine.retrain import EpochRecord
from secateur.engine.retrain.range_test import RangeTest
from secateur.engine.surgery import Audit, Certificate
from worker.pipeline.job.metrics import finite
from worker.pipeline.report.diagram import diagram


def verdict(
    program: Program, analysis: Analysis, labels: LabelKind | None = None
) -> dict[str, Any]:
    """Return the verdict stored with a model: its properties and what can be pruned.

    Args:
        program: The model.
        analysis: The model's analysis.
        labels: Kind of the first output according to a data set; None without a data set.
    """
    ops = Counter(op_name(n.target) for n in program.graph.nodes if n.op == "call_function")
    num_prunable = sum(m.index_GK.numel() for f in analysis.families for m in f.producers())
    num_frozen = sum(frozen.num_channels for frozen in analysis.frozen)
    cost = CostModel(program, analysis)
    narrowest = {family.name: 1 for family in analysis.families}
    return {
        "num_parameters": count_parameters(program),
        "macs": count_macs(program),
        "inputs": describe_inputs(program),
        "outputs": _outputs(program, analysis, labels),
        "num_outputs": program.output_tree.num_leaves,
        "notes": notes_on(program),
        "ops": dict(sorted(ops.items())),
        "num_prunable_filters": num_prunable,
        "num_frozen_filters": num_frozen,
        "least": {  # with one channel group left in every family
            "num_parameters": int(cost.params_by_width({})(narrowest)),
            "macs": int(cost.macs_by_width({})(narrowest)),
        },
        "layers": _layers(program, analysis),
        "diagram": diagram(program, analysis, [t[0] for t in mac_terms(program, analysis.shapes)]),
        "groups": [_family(family) for family in analysis.families],
        "frozen": [frozen_report(frozen).model_dump() for frozen in analysis.frozen],
    }


def describe_inputs(program: Program) -> list[dict[str, Any]]:
    """Return the name, shape and dtype of each input, as users send it."""
    return [
        {"name": name, "shape": ["batch", *s.shape[1:]], "dtype": str(s.given_dtype)[6:]}
        for name, s in zip(program.input_names, program.inputs, strict=True)
    ]


def notes_on(program: Program) -> list[str]:
    """Return what the user should know about a model, such as what its import has changed."""
    imported = () if program.origin is None else program.origin.notes
    kept = [program.batch_note] if program.batch_note else []
    return [*unused_inputs(program), *imported, *kept]


def unused_inputs(program: Program) -> list[str]:
    """Return a note for each unused input."""
    nodes = [node for node in program.graph.nodes if node.op == "placeholder"]
    return [
        f"input {name!r} is not used: whatever is sent, the outputs are the same"
        for name, node in zip(program.input_names, nodes, strict=True)
        if not node.users
    ]


def group_reports(analysis: Analysis, plan: Plan) -> tuple[GroupReport, ...]:
    """Return the outcome of a plan for each family."""
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


def plan_summary(analysis: Analysis, plan: Plan, criterion: str) -> PlanSummary:
    """Return the summary of a plan by layer, small enough for an event."""
    groups = group_reports(analysis, plan)
    num_points = points_a_layer(len(groups))
    return PlanSummary(
        criterion=criterion,
        layers=tuple(
            LayerSummary(
                name=group.name,
                num_groups=group.num_groups,
                num_kept=group.num_kept,
                num_wanted=group.num_wanted,
                threshold=group.threshold,
                reason=group.reason,
                curve=thin(group.saliency, _around_cuts(group), num_points),
            )
            for group in groups
        ),
    )


def frozen_report(frozen: FrozenChannels) -> FrozenReport:
    """Return frozen channels and the reason why they cannot be pruned."""
    return FrozenReport(
        tensor=frozen.tensor,
        dim=frozen.dim,
        num_channels=frozen.num_channels,
        reason=frozen.pin.reason,
        op=frozen.pin.op,
        node=frozen.pin.node,
        source=frozen.pin.source,
    )


def equivalence_report(certificate: Certificate, parts: Audit) -> EquivalenceReport:
    """Return the certificate of the whole plan, with the errors of its exact and inexact parts."""
    return EquivalenceReport(
        is_exact=certificate.is_exact,
        inexact_ops=certificate.inexact_ops,
        exact_groups_float64_max_relative_error=(
            None if parts.exact is None else parts.exact.max_relative_error
        ),
        inexact=tuple(
            InexactReport(
                op=part.op,
                groups=part.families,
                float64_max_absolute_error=part.float64.max_absolute_error,
                float64_max_relative_error=part.float64.max_relative_error,
            )
            for part in parts.inexact
        ),
        float64_max_absolute_error=certificate.float64.max_absolute_error,
        float64_max_relative_error=certificate.float64.max_relative_error,
        float32_max_absolute_error=certificate.float32.max_absolute_error,
        float32_max_relative_error=certificate.float32.max_relative_error,
        num_samples=certificate.num_samples,
    )


def latency_reports(latencies: Sequence[Latency]) -> tuple[LatencyReport, ...]:
    """Return the measured latencies, in seconds."""
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


def speedup_reports(
    speedups: Sequence[Speedup], latencies: Sequence[Latency]
) -> tuple[SpeedupReport, ...]:
    """Return the speedup of the pruned network for each batch size."""
    return tuple(
        SpeedupReport(
            batch_size=found.batch_size,
            num_threads=latency.num_threads,
            ratio=found.ratio,
            low=found.low,
            high=found.high,
            num_rounds=found.num_rounds,
            is_measurable=found.is_measurable,
        )
        for found, latency in zip(speedups, latencies, strict=True)
    )


def load_report(load: Load) -> LoadReport:
    """Return the load of the machine during a measurement."""
    others = None if load.others is None else round(load.others, 3)
    return LoadReport(is_busy=load.is_busy, reason=load.reason, num_busy_processors=others)


def range_test_report(found: RangeTest | None) -> RangeTestReport | None:
    """Return the range test that found the learning rate; None if there was none."""
    if found is None:
        return None
    return RangeTestReport(learning_rate=found.learning_rate, curve=found.curve)


def epoch_report(record: EpochRecord) -> EpochReport:
    """Return the losses, metric, learning rate and duration of one epoch."""
    return EpochReport(
        epoch=record.epoch,
        train_loss=record.train_loss,
        validation_loss=finite(record.val_loss),
        validation_metric=finite(record.val_metric),
        learning_rate=record.learning_rate,
        seconds=round(record.seconds, 3),
    )


def _outputs(
    program: Program, analysis: Analysis, labels: LabelKind | None
) -> list[dict[str, Any]]:
    """Return name, shape, dtype and kind of each output that is a tensor."""
    values = analysis.shapes[program.graph.output_node()]
    kinds = output_kinds(program, labels)
    return [
        {
            "name": name,
            "shape": ["batch", *value.shape[1:]] if value.shape else [],
            "dtype": str(program.own_output_types.get(index, value.dtype))[6:],
            "kind": kind,
        }
        for index, (name, value, kind) in enumerate(
            zip(program.output_names, values, kinds, strict=True)
        )
        if isinstance(value, Tensor)
    ]


def _around_cuts(group: GroupReport) -> tuple[int, ...]:
    removed, wanted = group.num_groups - group.num_kept, group.num_wanted
    return removed - 1, removed, wanted - 1, wanted


def _layers(program: Program, analysis: Analysis) -> list[dict[str, Any]]:
    """Return every contraction with its MACs for one sample."""
    layers = []
    for term in mac_terms(program, analysis.shapes):
        node = term[0]
        weight = node.args[1] if len(node.args) > 1 else None
        is_stored = isinstance(weight, fx.Node) and weight.op == "get_attr"
        layers.append(
            {
                "weight": str(weight.target) if is_stored else None,  # type: ignore[union-attr]
                "op": op_name(node.target),
                "shape": list(analysis.shapes[weight].shape) if is_stored else None,  # type: ignore[index]
                "macs": num_macs(term, analysis.shapes) // num_analysed(program),
                "source": str(node.meta.get("source", "")),
            }
        )
    return layers


def _family(family: Family) -> dict[str, Any]:
    return {
        "name": family.name,
        "num_groups": family.num_groups,
        "members": [f"{member.tensor}[{member.dim}]" for member in family.members],
        "is_exact": family.is_exact,
        "inexact_ops": list(family.inexact_ops),
    }

"""Widths for a device of the user, by the latencies that it measured (``selection.target``)."""

from app.contracts.latencies import Latencies, LatenciesError, check_asked, read_latencies
from app.contracts.report import TargetReport
from secateur.engine.errors import PlanError
from secateur.engine.graph import analyse
from secateur.engine.latency import LatencyModel, LatencyTable, LayerShape, bench_of
from secateur.engine.selection import select
from worker.messages import LatenciesInput
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.options import RuledSelection, selection_rule
from worker.pipeline.job.results import Choice
from worker.pipeline.selecting.planning import Planner


def choose_for_target(inputs: Inputs, planner: Planner, spec: RuledSelection) -> Choice:
    """Select by the latencies of another device; nothing is measured here.

    Raises:
        PlanError: The latencies are not about this model, or no plan meets the budget.
    """
    given = inputs.request.latencies
    if given is None:
        raise PlanError(f"there are no latencies of the target {spec.target!r}")
    found = _read(inputs, given, spec)
    tables = {name: _table(found, name) for name in found.precisions}
    model = LatencyModel(
        inputs.program,
        inputs.analysis,
        tables[spec.precision],
        found.network_seconds,
        found.batch_size,
        tables["fp32"],
        own_seconds=found.int8_network_seconds if spec.precision == "int8" else None,
    )
    scores, options = planner.scores, inputs.selection(selection_rule(spec))
    selection = select(inputs.analysis, scores.by_family, options, inputs.cost, model)
    predicted = model.seconds(selection.keeps)
    report = TargetReport(
        id=given.id,
        name=given.name,
        device=found.device,
        runtime=found.runtime,
        runtime_version=found.runtime_version,
        num_threads=found.num_threads,
        batch_size=found.batch_size,
        precision=spec.precision,
        dense_seconds=model.dense_seconds,
        is_dense_measured=found.network_seconds is not None,
        predicted_seconds=predicted,
        predicted=predicted / model.dense_seconds,
    )
    return Choice(planner.of(selection), scores, target=report)


def _read(inputs: Inputs, given: LatenciesInput, spec: RuledSelection) -> Latencies:
    try:
        found = read_latencies(given.path.read_bytes(), inputs.request.limits.latencies_rows)
        if found.bench != bench_of(inputs.program, analyse(inputs.program))["id"]:
            raise LatenciesError("they are of another model, with other layers")  # noqa: TRY301
        check_asked(found.precisions, found.batch_size, spec)
    except LatenciesError as error:
        raise PlanError(f"the latencies {given.name!r} cannot be used: {error}") from error
    return found


def _table(found: Latencies, precision: str) -> LatencyTable:
    return LatencyTable(
        {
            LayerShape(
                key.kind,  # type: ignore[arg-type]  # one of the three
                found.batch_size,
                key.in_channels,
                key.out_channels,
                key.groups,
                key.space,
                key.kernel,
                key.stride,
                key.padding,
                key.dilation,
            ): seconds
            for key, seconds in found.seconds[precision].items()
        }
    )

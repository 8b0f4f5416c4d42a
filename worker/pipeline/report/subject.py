"""The model, the data and the layers of a job, for the report.

`describe` converts the results of pruning; `report` combines both.
"""

from torch import fx

from app.contracts.report import DataReport, LayerReport, ModelReport
from secateur.engine.graph import Analysis
from secateur.engine.program.functional import op_name
from secateur.engine.program.macs import Term, mac_terms, num_macs
from secateur.engine.program.program import Program
from secateur.engine.program.shapes import num_analysed
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.report.describe import describe_inputs

_MOST_CLASS_NAMES = 100


def model_report(inputs: Inputs) -> ModelReport:
    """Return the pruned model: its name, id, hash, inputs and number of outputs."""
    model, program = inputs.request.require_model(), inputs.program
    return ModelReport(
        name=model.name,
        id=model.id,
        sha256=model.sha256,
        inputs=tuple(describe_inputs(program)),
        num_outputs=program.output_tree.num_leaves,
    )


def data_report(inputs: Inputs) -> DataReport | None:
    """Return the data set and its splits; None without a data set."""
    given, dataset = inputs.request.dataset, inputs.dataset
    if given is None or dataset is None:
        return None
    return DataReport(
        name=given.name,
        id=given.id,
        sha256=given.sha256,
        format=given.format,
        num_samples=len(dataset),
        sample_shape=dataset.sample_shape,
        labels=dataset.labels_kind,
        num_classes=dataset.num_classes,
        class_names=tuple(dataset.class_names[:_MOST_CLASS_NAMES]),
        splits={split.name.lower(): size for split, size in dataset.split_sizes.items()},
        is_split_given=dataset.is_split_given,
        preprocess=given.preprocess.model_dump(mode="json"),
    )


def layer_reports(
    dense: tuple[Program, Analysis], pruned: tuple[Program, Analysis]
) -> tuple[LayerReport, ...]:
    """Return each contraction with its outputs and MACs before and after pruning.

    Compaction changes sizes, not operators, so both networks have the same contractions in the
    same order.
    """
    before, after = (mac_terms(program, analysis.shapes) for program, analysis in (dense, pruned))
    return tuple(
        LayerReport(
            weight=_weight(old),
            op=op_name(old[0].target),
            num_outputs=(_num_outputs(old, dense[1]), _num_outputs(new, pruned[1])),
            macs=(
                num_macs(old, dense[1].shapes) // num_analysed(dense[0]),
                num_macs(new, pruned[1].shapes) // num_analysed(pruned[0]),
            ),
        )
        for old, new in zip(before, after, strict=True)
    )


def _weight(term: Term) -> str | None:
    node = term[0]
    weights = [a for a in node.args[1:] if isinstance(a, fx.Node) and a.op == "get_attr"]
    return str(weights[0].target) if weights else None


def _num_outputs(term: Term, analysis: Analysis) -> int:
    """Return the size of the dimension of channels or features."""
    value = analysis.shapes[term[0]]
    shape = (value[0] if isinstance(value, (list, tuple)) else value).shape  # LSTM: and states
    return int(shape[1] if "conv" in op_name(term[0].target) else shape[-1])

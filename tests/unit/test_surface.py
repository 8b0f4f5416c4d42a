"""The engine's registries match every other list of their names.

The service and the client import no torch, so they name kinds in lists of their own. These tests
hold the lists equal, and say what is missing where.
"""

import inspect
import tomllib
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from pydantic import BaseModel

import secateur
from app.cli.commands.prune import prune_command
from app.contracts import report, retrain_spec, sanity_spec, spec, targets
from app.contracts.goals import GOALS, GoalName
from docs import generate_kinds
from secateur import options as client_options
from secateur.engine.export import onnx as onnx_export
from secateur.engine.export import opsets
from secateur.engine.export.formats import EXPORT_FORMATS
from secateur.engine.export.targets.targets import TARGETS
from secateur.engine.metrics import METRICS, SCORINGS
from secateur.engine.objectives import OBJECTIVES
from secateur.engine.retrain.options import AugmentOptions, OptimizerOptions, RetrainOptions
from secateur.engine.saliency import CRITERIA, SaliencyOptions
from secateur.engine.selection import LayerOverride, Ratio, SelectionOptions
from secateur.types import GoalView, results
from worker.cli.main import prune_command as local_prune_command
from worker.pipeline.report.page import names

ROOT = Path(__file__).parents[2]
EXTRAS = set(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
)


def literal(model: type[BaseModel], field: str) -> set[str]:
    return set(get_args(model.model_fields[field].annotation))


def described(model: type[BaseModel], field: str) -> set[str]:
    """Return every word of a field's description that could be a name."""
    text = model.model_fields[field].description or ""
    return {word.strip("`.,:;()") for word in text.split()}


def optional_numbers(model: type[BaseModel]) -> set[str]:
    kinds = {float | None}
    return {n for n, f in model.model_fields.items() if f.annotation in kinds} - {"loss"}


_CRITERION, _RETRAIN = spec.CriterionSpec, retrain_spec.RetrainSpec
_CANDIDATES = {name for name, each in CRITERIA.items() if each.is_cheap and not each.is_baseline}
_NEEDING_DATA = {name for name, each in CRITERIA.items() if each.needs != "weights"}

# What is listed where: the names of the records, and the names there.
LISTS: dict[str, tuple[Iterable[str], Iterable[str]]] = {
    "criteria in CriterionSpec.kind": ({*CRITERIA, "auto"}, literal(_CRITERION, "kind")),
    "candidates of auto in CandidateName": (_CANDIDATES, get_args(spec.CandidateName)),
    "criteria that look at samples in NEED_DATA": ({*_NEEDING_DATA, "auto"}, spec.NEED_DATA),
    "criteria in the report page's names": (CRITERIA, names.CRITERIA),
    "objectives in RetrainSpec.objective": ({*OBJECTIVES, "auto"}, literal(_RETRAIN, "objective")),
    "metrics in MetricsReport": (METRICS, optional_numbers(report.MetricsReport)),
    "metrics in the client's Metrics": (METRICS, optional_numbers(results.Metrics)),
    "metrics in LOWER_IS_BETTER": (
        {name for name, each in METRICS.items() if each.is_less_better},
        report.LOWER_IS_BETTER,
    ),
    "export formats in ExportName": (EXPORT_FORMATS, get_args(spec.ExportName)),
    "export targets in TargetName": (TARGETS, get_args(targets.TargetName)),
    "export targets with packages in TARGET_MODULES": (
        {name for name, each in TARGETS.items() if each.modules},
        targets.TARGET_MODULES,
    ),
    "extras of export targets": (targets.TARGET_MODULES, EXTRAS & set(TARGETS)),
    "export targets in READS_PT2": (
        {name for name, each in TARGETS.items() if each.reads_pt2},
        targets.READS_PT2,
    ),
    "export formats in HOLD_NETWORK": (
        {name for name, each in EXPORT_FORMATS.items() if each.holds_network},
        spec.HOLD_NETWORK,
    ),
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_has_the_names_of_the_records(name: str) -> None:
    records, listed = (set(names) for names in LISTS[name])
    assert not records - listed, f"missing among {name}: {sorted(records - listed)}"
    assert not listed - records, f"without a record, among {name}: {sorted(listed - records)}"


@pytest.mark.parametrize(
    ("model", "field", "records"),
    [
        (_CRITERION, "kind", {*CRITERIA, "auto"}),
        (_RETRAIN, "objective", {*OBJECTIVES, "auto"}),
        (spec.ExportSpec, "targets", set(TARGETS)),
    ],
)
def test_the_config_describes_every_kind(
    model: type[BaseModel], field: str, records: set[str]
) -> None:
    missing = records - described(model, field)
    assert not missing, f"not described in {model.__name__}.{field}: {sorted(missing)}"


@pytest.mark.parametrize("command", [prune_command, local_prune_command], ids=["service", "local"])
def test_the_command_line_names_criteria_that_exist(command: Any) -> None:
    option = inspect.get_annotations(command)["criterion"].__metadata__[0]
    named = set(option.help.rpartition(": ")[2].rstrip(".").replace(" or ", ", ").split(", "))
    assert named <= {*CRITERIA, "auto", "…"}, option.help


def test_what_a_job_may_expect_is_a_metric_of_labels() -> None:
    metrics = {m.name for kind, each in SCORINGS.items() if kind != "none" for m in each.metrics}
    assert set(sanity_spec.ExpectedSpec.model_fields) - {"accuracy"} <= metrics


def test_the_service_and_the_records_name_the_same_packages_of_targets() -> None:
    assert {n: each.modules for n, each in TARGETS.items() if each.modules} == dict(
        targets.TARGET_MODULES
    )
    assert onnx_export.NEWEST_OPSET == targets.NEWEST_OPSET
    assert opsets.OLDEST_OPSET == targets.OLDEST_OPSET


def test_objectives_and_label_kinds_name_each_other() -> None:
    for each in OBJECTIVES.values():
        assert set(each.labels or ()) <= SCORINGS.keys(), each.name
    for scoring in SCORINGS.values():
        assert OBJECTIVES[scoring.objective.name] is scoring.objective, scoring.labels


@pytest.mark.parametrize(
    ("target", "render"),
    [
        (generate_kinds.CHOOSING, generate_kinds.render_choosing),
        (generate_kinds.CONFIG, generate_kinds.render_config),
        (generate_kinds.METRICS_JS, generate_kinds.render_metrics),
        (generate_kinds.FILES_JS, generate_kinds.render_files),
    ],
)
def test_what_is_generated_from_the_records_is_up_to_date(target: Path, render: Any) -> None:
    assert target.read_text() == render(), "run: python -m docs.generate_kinds"


def _spec_defaults(model: type[BaseModel]) -> dict[str, Any]:
    return {n: f.default for n, f in model.model_fields.items() if f.default_factory is None}


@pytest.mark.parametrize(
    ("options", "model", "differing"),
    [
        # `mode` and `layers` are records of their own.
        (SelectionOptions, spec.SteepnessSelection, {"mode"}),
        (LayerOverride, spec.LayerOverride, set()),
        (SaliencyOptions, spec.CriterionSpec, set()),
        # The service finds a rate, and a number of epochs, where none is given.
        (OptimizerOptions, retrain_spec.OptimizerSpec, {"learning_rate"}),
        (AugmentOptions, retrain_spec.AugmentSpec, set()),
        (RetrainOptions, retrain_spec.RetrainSpec, {"epochs", "objective", "optimizer", "augment"}),
    ],
)
def test_the_engine_has_the_defaults_of_the_config(
    options: type, model: type[BaseModel], differing: set[str]
) -> None:
    ours = _spec_defaults(model)
    found = {each.name: each.default for each in fields(options)}
    shared = (ours.keys() & found.keys()) - differing
    assert shared
    assert {n: found[n] for n in shared} == {n: ours[n] for n in shared}


@pytest.mark.parametrize(
    ("options", "model", "field"),
    [
        (OptimizerOptions, retrain_spec.OptimizerSpec, "kind"),
        (OptimizerOptions, retrain_spec.OptimizerSpec, "schedule"),
        (OptimizerOptions, retrain_spec.OptimizerSpec, "decay"),
        (RetrainOptions, retrain_spec.RetrainSpec, "precision"),
        (SaliencyOptions, spec.CriterionSpec, "reduction"),
        (SaliencyOptions, spec.CriterionSpec, "normalization"),
        (Ratio, spec.RatioSelection, "scope"),
    ],
)
def test_the_engine_has_the_choices_of_the_config(
    options: type, model: type[BaseModel], field: str
) -> None:
    assert set(get_args(get_type_hints(options)[field])) == literal(model, field)


def test_the_client_has_the_presets_of_the_config() -> None:
    assert get_args(client_options.Preset) == get_args(spec.Preset)


def test_the_client_names_the_goals() -> None:
    names = [goal.name for goal in GOALS]
    assert sorted(get_args(client_options.Goal)) == sorted(names)
    assert sorted(get_args(GoalView.model_fields["name"].annotation)) == sorted(names)
    assert sorted(get_args(GoalName)) == sorted(names)


@pytest.mark.parametrize("function", [secateur.prune, local_prune_command])
def test_functions_and_commands_have_the_defaults_of_the_config(function: Any) -> None:
    ours = _spec_defaults(spec.SteepnessSelection)
    given = inspect.signature(function).parameters
    for name in ("round_to", "min_channels", "max_ratio"):
        assert str(given[name].default) == str(ours[name]), name
    assert given["criterion"].default == spec.CriterionSpec().kind

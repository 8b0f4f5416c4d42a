"""Reference tables of the pruning config, from its pydantic models."""

from collections.abc import Iterator

from pydantic import BaseModel

from app.contracts.precision_spec import PrecisionSpec
from app.contracts.repair_spec import RepairSpec
from app.contracts.resources_spec import ResourcesSpec
from app.contracts.retrain_spec import (
    AugmentSpec,
    DistillSpec,
    OptimizerSpec,
    RetrainSpec,
)
from app.contracts.sanity_spec import ExpectedSpec, SanitySpec
from app.contracts.spec import (
    AccuracySelection,
    BudgetSelection,
    CriterionSpec,
    ExportSpec,
    IterativeSchedule,
    LayerOverride,
    OneShotSchedule,
    PreprocessSpec,
    PruneConfig,
    RatioSelection,
    SplitSpec,
    SteepnessSelection,
)
from app.contracts.task_spec import HeadSpec
from docs.building.schemas import members, one_line

_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("criterion", CriterionSpec),
    ("selection: steepness", SteepnessSelection),
    ("selection: ratio", RatioSelection),
    ("selection: budget", BudgetSelection),
    ("selection: accuracy", AccuracySelection),
    ("selection.layers", LayerOverride),
    ("schedule: one_shot", OneShotSchedule),
    ("schedule: iterative", IterativeSchedule),
    ("repair", RepairSpec),
    ("retrain", RetrainSpec),
    ("retrain.distill", DistillSpec),
    ("retrain.optimizer", OptimizerSpec),
    ("retrain.augment", AugmentSpec),
    ("split", SplitSpec),
    ("expected", ExpectedSpec),
    ("sanity", SanitySpec),
    ("head", HeadSpec),
    ("precision", PrecisionSpec),
    ("export", ExportSpec),
    ("resources", ResourcesSpec),
    ("The whole config", PruneConfig),
)
_PREPROCESS = """
## Preprocessing

Preprocessing is not part of the config. It belongs to the data set: send it as `preprocess` with
the upload.
"""


def render() -> str:
    """Return the tables.

    Raises:
        LookupError: A model of the config has no section in `_SECTIONS`.
    """
    _check_complete()
    parts: list[str] = []
    for title, kind in _SECTIONS:
        parts += _section(title, kind)
    parts += [_PREPROCESS, *_table(PreprocessSpec)]
    return "\n".join(parts) + "\n"


def _section(title: str, kind: type[BaseModel]) -> Iterator[str]:
    yield f"\n## {title} {{ #{kind.__name__.lower()} }}\n"
    yield one_line((kind.__doc__ or "").strip())
    yield ""
    yield from _table(kind)


def _table(kind: type[BaseModel]) -> list[str]:
    return members(kind.model_json_schema())


def _check_complete() -> None:
    shown = {kind.__name__ for _, kind in _SECTIONS}
    missing = set(PruneConfig.model_json_schema()["$defs"]) - shown
    if missing:
        raise LookupError(f"the page of the config has no section for {sorted(missing)}")

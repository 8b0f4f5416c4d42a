"""Conversion of the job's config to engine options; the engine never sees the config."""

from app.contracts.retrain_spec import RetrainSpec
from app.contracts.spec import (
    BudgetSelection,
    PruneConfig,
    RatioSelection,
    SelectionSpec,
    SteepnessSelection,
)
from secateur.core.tasks import Task
from secateur.engine.errors import DataError
from secateur.engine.metrics import PLAIN, SCORINGS, accepted_labels
from secateur.engine.objectives import OBJECTIVES, LabelKind, ObjectiveOptions
from secateur.engine.retrain import AugmentOptions, OptimizerOptions, RetrainOptions
from secateur.engine.saliency import SaliencyOptions
from secateur.engine.selection import (
    Budget,
    LayerOverride,
    Ratio,
    SelectionOptions,
    Steepness,
)
from worker.pipeline.job.chosen import ChosenTask

Rule = Steepness | Ratio | Budget
RuledSelection = RatioSelection | SteepnessSelection | BudgetSelection
# Labels that belong to places in the image.
_IN_PLACE = frozenset({"masks", "texts"})
PixelRange = tuple[tuple[float, ...], tuple[float, ...]]


def saliency_options(config: PruneConfig) -> SaliencyOptions:
    """Return the saliency options of a config."""
    criterion = config.criterion
    return SaliencyOptions(
        reduction=criterion.reduction, normalization=criterion.normalization, seed=config.seed
    )


def selection_rule(spec: RuledSelection) -> Rule:
    """Return the rule that decides how many filters are removed."""
    if isinstance(spec, RatioSelection):
        return Ratio(spec.ratio, spec.scope)
    if isinstance(spec, SteepnessSelection):
        return Steepness(spec.steepness)
    if spec.macs is not None:
        return Budget("macs", spec.macs)
    if spec.params is not None:
        return Budget("params", spec.params)
    assert spec.latency is not None  # noqa: S101  # the spec names exactly one
    return Budget("latency", spec.latency)


def selection_limits(spec: SelectionSpec) -> SelectionOptions:
    """Return the limits of a selection, under the engine's default rule."""
    return SelectionOptions(
        max_ratio=spec.max_ratio,
        min_channels=spec.min_channels,
        round_to=spec.round_to,
        exclude=spec.exclude,
        layers={
            glob: LayerOverride(layer.ratio, layer.max_ratio, layer.min_channels)
            for glob, layer in spec.layers.items()
        },
    )


def objective_kind(spec: RetrainSpec, labels: LabelKind, task: Task | None = None) -> str:
    """Return the training objective for a kind of labels; without labels, that of the task.

    Raises:
        DataError: The objective does not support these labels.
    """
    if spec.objective == "auto":
        if labels == "none" and task is not None:
            return task.objective
        return SCORINGS[labels].objective.name
    needed = accepted_labels(OBJECTIVES[spec.objective])
    if needed and labels not in needed:
        raise DataError(
            f"the objective {spec.objective!r} needs labels of the kind "
            f"{' or '.join(map(repr, needed))}; the data set has {labels!r}"
        )
    return spec.objective


def retrain_options(
    spec: RetrainSpec,
    seed: int,
    labels: LabelKind,
    pixel_range: PixelRange | None,
    chosen: ChosenTask | None = None,
) -> RetrainOptions:
    """Return the training options, except the number of epochs and the learning rate.

    Those two may depend on the data: `worker.pipeline.training.decisions` adds them.

    Raises:
        DataError: The objective does not support these labels.
    """
    optimizer, augment = spec.optimizer, spec.augment
    reading = PLAIN if chosen is None else chosen.reading
    kind = objective_kind(spec, labels, chosen.task if chosen is not None else None)
    is_moved = augment.crop or augment.flip or augment.rotate or augment.scale
    if is_moved and labels in _IN_PLACE and SCORINGS[labels].objective.name == kind:
        raise DataError(
            f"augment.crop, flip, rotate and scale move the image, but not its {labels}: leave "
            "them out, or train from the dense network's answers (retrain.objective distill)"
        )
    return RetrainOptions(
        batch_size=spec.batch_size,
        objective=ObjectiveOptions(
            kind=kind,
            label_smoothing=spec.label_smoothing,
            distill_weight=spec.distill.weight,
            temperature=spec.distill.temperature,
            feature_weight=spec.distill.features,
            class_axis=reading.class_axis,
            is_blank_first=reading.is_blank_first,
        ),
        optimizer=OptimizerOptions(
            kind=optimizer.kind,
            momentum=optimizer.momentum,
            weight_decay=optimizer.weight_decay,
            warmup=optimizer.warmup,
            schedule=optimizer.schedule,
            decay=optimizer.decay,
            clip_norm=optimizer.clip_norm,
        ),
        augment=AugmentOptions(**augment.model_dump(), pixel_range=pixel_range),
        precision=spec.precision,
        ema=spec.ema,
        patience=spec.patience,
        is_compiled=spec.compile == "always",
        seed=seed,
    )

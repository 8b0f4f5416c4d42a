"""From the job's config to the engine's plain options: config never intrudes into the engine."""

from app.contracts.spec import (
    PruneConfig,
    RatioSelection,
    RetrainSpec,
    SelectionSpec,
    SteepnessSelection,
)
from worker.engine.retrain import AugmentOptions, OptimizerOptions, RetrainOptions
from worker.engine.saliency import SaliencyOptions
from worker.engine.selection import (
    Budget,
    LayerOverride,
    Ratio,
    SelectionOptions,
    Steepness,
)


def saliency_options(config: PruneConfig) -> SaliencyOptions:
    """Return how filters are scored."""
    criterion = config.criterion
    return SaliencyOptions(
        reduction=criterion.reduction, normalization=criterion.normalization, seed=config.seed
    )


def selection_options(spec: SelectionSpec) -> SelectionOptions:
    """Return how many filters go."""
    return SelectionOptions(
        mode=_mode(spec),
        max_ratio=spec.max_ratio,
        min_channels=spec.min_channels,
        round_to=spec.round_to,
        exclude=spec.exclude,
        layers={
            glob: LayerOverride(layer.ratio, layer.max_ratio, layer.min_channels)
            for glob, layer in spec.layers.items()
        },
    )


def retrain_options(spec: RetrainSpec, seed: int) -> RetrainOptions:
    """Return how the pruned network is trained."""
    optimizer = spec.optimizer
    return RetrainOptions(
        epochs=spec.epochs,
        batch_size=spec.batch_size,
        optimizer=OptimizerOptions(
            kind=optimizer.kind,
            learning_rate=optimizer.learning_rate,
            momentum=optimizer.momentum,
            weight_decay=optimizer.weight_decay,
        ),
        augment=AugmentOptions(crop=spec.augment.crop, flip=spec.augment.flip),
        label_smoothing=spec.label_smoothing,
        precision=spec.precision,
        seed=seed,
    )


def _mode(spec: SelectionSpec) -> Steepness | Ratio | Budget:
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

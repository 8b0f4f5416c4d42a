"""Whether the points of a sweep are compared before training. Pure code."""

from collections.abc import Sequence

from app.contracts.errors import InvalidInputError
from app.contracts.spec import AccuracySelection, IterativeSchedule, PruneConfig
from app.sweeps.grid import Point
from app.sweeps.schemas import Train

_JUDGED = ("criterion", "selection", "repair")  # parts of the config that repair shows the worth of


def are_judged(points: Sequence[Point], train: Train, *, has_data: bool) -> bool:
    """Return whether points are repaired and compared first, and only the best ones trained.

    Raises:
        InvalidInputError: ``front`` was asked for and a point cannot be judged; the error names it.
    """
    if train == "all":
        return False
    for point in points:
        reason = _why_not(point.config, has_data=has_data)
        if reason is not None:
            if train == "auto":
                return False
            details = point.details("belongs to this point")
            message = f"train 'front' cannot compare the point {point.shown} before training"
            raise InvalidInputError(f"{message}: {reason}. Use train 'all'", details=details)
    parts = {pointer.split("/")[1] for point in points for pointer in point.values}
    is_about_cuts = not parts.isdisjoint(_JUDGED) and parts <= {*_JUDGED, "retrain"}
    return train == "front" or (is_about_cuts and len(points) > 1)


def _why_not(config: PruneConfig, *, has_data: bool) -> str | None:
    """Return why a point cannot be judged by its repaired network; None if it can be."""
    if not has_data:
        return "it has no data set"
    if config.retrain.epochs == 0:
        return "it is not trained (retrain.epochs 0)"
    if isinstance(config.schedule, IterativeSchedule):
        return "an iterative schedule cuts while it trains"
    if isinstance(config.selection, AccuracySelection):
        return "selection mode 'accuracy' trains while it selects"
    if config.repair.kind in {"none", "fold"}:
        return f"repair.kind {config.repair.kind!r} does not refit its weights"
    return None

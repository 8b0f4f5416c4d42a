"""How much a job trains: epochs by the number of samples, and the number of trainings.

The worker trains by it, and the API estimates times with it.
"""

import math

from app.contracts.spec import AccuracySelection, PruneConfig

NUM_STEPS = 600  # enough for a pruned network to recover most of its accuracy
MOST_EPOCHS = 30
_USUAL_EPOCHS, _USUAL_STEPS = 3, 4000  # three epochs if they are at most this many steps
_SEARCHED_RUNS = 3  # of a search that repair guides


def epochs_by_data(num_steps: int) -> int:
    """Return the number of epochs for data with ``num_steps`` steps per epoch.

    About 600 steps and at most 30 epochs; three epochs if those are at most 4,000 steps; at
    least one.
    """
    usual = min(_USUAL_EPOCHS, math.ceil(_USUAL_STEPS / num_steps))
    return max(1, usual, min(MOST_EPOCHS, math.ceil(NUM_STEPS / num_steps)))


def num_runs(config: PruneConfig) -> int:
    """Return the number of training runs that a job must have the time for."""
    selection, searched = config.selection, 1
    if isinstance(selection, AccuracySelection):
        is_guided = config.repair.kind != "none" and config.schedule.kind == "one_shot"
        searched = _SEARCHED_RUNS if is_guided else selection.max_trials
    return searched + (2 if config.baselines else 0)

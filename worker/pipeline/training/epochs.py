"""How many epochs are trained where the config says ``auto``: by the data, and by the time limit.

The number is decided once a job and written beside its checkpoints, so that every run of it, and
every attempt, trains alike. On a machine that is fast enough it depends on the data alone.
"""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from app.contracts.report import EpochsReport
from app.contracts.spec import AccuracySelection, PruneConfig
from secateur.engine.files.atomic_write import atomic_write

NUM_STEPS = 600  # what a pruned network needs to recover, as far as it does
MOST_EPOCHS = 30
_USUAL_EPOCHS, _USUAL_STEPS = 3, 4000  # three epochs, as far as they are no more steps than this
_TIME_SHARE = 0.6  # of the job's time limit that training may take


@dataclass(frozen=True)
class Epochs:
    """The decision.

    Attributes:
        num: Epochs that are trained.
        by_data: What the data alone asked for.
        steps: An epoch has so many.
        seconds: What a step took when it was measured; None where nothing was.
    """

    num: int
    by_data: int
    steps: int
    seconds: float | None = None

    def report(self, asked: int | str) -> EpochsReport:
        """Return what the report says of it."""
        if asked != "auto":
            return EpochsReport(asked=self.num, num=self.num, reason="as the config asks")
        text = f"{self.by_data} epochs of {self.steps} steps by the number of training samples"
        if self.num < self.by_data:
            text += (
                f", cut to {self.num} by the time limit: a step took {self.seconds:.3g} s when it "
                "was measured"
            )
        return EpochsReport(asked="auto", num=self.num, reason=text)


def epochs_by_data(num_steps: int) -> int:
    """Return how many epochs data of so many steps an epoch ask for.

    About 600 steps, at most 30 epochs; three epochs where they are no more than 4,000 steps; one
    at least.
    """
    usual = min(_USUAL_EPOCHS, math.ceil(_USUAL_STEPS / num_steps))
    return max(1, usual, min(MOST_EPOCHS, math.ceil(NUM_STEPS / num_steps)))


def decide_epochs(
    config: PruneConfig,
    num_steps: int,
    seconds: float | None,
    measure: Callable[[], float],
    path: Path,
) -> Epochs:
    """Return how many epochs are trained, as it was decided before, or decided now.

    Args:
        config: Of the job.
        num_steps: Of an epoch.
        seconds: That are left to the job; None: as many as it likes.
        measure: Returns how long a step takes.
        path: Where the decision is kept.
    """
    asked = config.retrain.epochs
    if asked != "auto":
        return Epochs(asked, asked, num_steps)
    if path.exists():
        return Epochs(**json.loads(path.read_text()))
    wanted = epochs_by_data(num_steps)
    found = Epochs(wanted, wanted, num_steps)
    if seconds is not None:
        step = measure()
        fitting = _TIME_SHARE * seconds / num_runs(config) / max(1e-9, step * num_steps)
        found = Epochs(max(1, min(wanted, int(fitting))), wanted, num_steps, step)
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(asdict(found)))
    return found


def num_runs(config: PruneConfig) -> int:
    """Return how many training runs a job has at most."""
    selection = config.selection
    searched = selection.max_trials if isinstance(selection, AccuracySelection) else 1
    return searched + (2 if config.baselines else 0)

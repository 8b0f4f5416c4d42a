"""``retrain.epochs: auto``: number of epochs, chosen by the data and the time limit.

The number is chosen once per job and saved beside its checkpoints, so that every run and every
attempt trains equally long. On a fast machine it depends on the data only.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from app.contracts.epochs import epochs_by_data, num_runs
from app.contracts.report import EpochsReport
from app.contracts.spec import PruneConfig
from secateur.engine.files.atomic_write import atomic_write

_TIME_SHARE = 0.6  # share of the job's time limit for training


@dataclass(frozen=True)
class Epochs:
    """The chosen number of epochs, and the reasons.

    Attributes:
        num: Number of epochs.
        by_data: Number of epochs without a time limit.
        steps: Steps per epoch.
        seconds: Measured seconds per step; None if not measured.
    """

    num: int
    by_data: int
    steps: int
    seconds: float | None = None

    def report(self, asked: int | str) -> EpochsReport:
        """Return the choice as the report shows it."""
        if asked != "auto":
            return EpochsReport(asked=self.num, num=self.num, reason="as configured")
        text = f"{self.by_data} epochs of {self.steps} steps by the number of training samples"
        if self.num < self.by_data:
            text += (
                f", cut to {self.num} by the time limit: a step took {self.seconds:.3g} s when it "
                "was measured"
            )
        return EpochsReport(asked="auto", num=self.num, reason=text)


def decide_epochs(
    config: PruneConfig,
    num_steps: int,
    seconds: float | None,
    measure: Callable[[], float],
    path: Path,
) -> Epochs:
    """Return the saved number of epochs, or choose and save it.

    Args:
        config: Config of the job.
        num_steps: Steps per epoch.
        seconds: Seconds left to the job; None: no limit.
        measure: Measures the seconds of a step.
        path: File of the saved choice.
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

"""Choice of the final network: the best candidate on the validation samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from app.contracts.report import CandidateReport, Finding, KeptReport
from secateur.engine.metrics import Metrics
from secateur.engine.metrics.ranking import NO_RANK, Rank
from secateur.engine.program.program import Program
from worker.pipeline.job.metrics import finite

What = Literal["pruned", "recalibrated", "repaired", "epoch"]


@dataclass(frozen=True)
class Candidate:
    """A candidate for the final network.

    Attributes:
        what: Step that produced the network.
        program: Compacted network.
        metrics: Metrics on the validation samples; None without any.
        epoch: Last epoch trained; 0 before training.
    """

    what: What
    program: Program
    metrics: Metrics | None
    epoch: int = 0

    @property
    def rank(self) -> Rank:
        """Sort key; higher is better."""
        return NO_RANK if self.metrics is None else self.metrics.rank

    @property
    def name(self) -> str:
        """Display name."""
        return f"epoch {self.epoch}" if self.what == "epoch" else f"the {self.what} network"


@dataclass(frozen=True)
class Kept:
    """The final network and its alternatives.

    Attributes:
        chosen: The final network.
        candidates: All candidates, in order of creation.
        num_epochs: Number of epochs trained.
    """

    chosen: Candidate
    candidates: tuple[Candidate, ...]
    num_epochs: int

    @property
    def reason(self) -> str:
        """Reason for the choice, in one sentence."""
        metrics = self.chosen.metrics
        if metrics is None:
            last = "the last epoch" if self.num_epochs else f"{self.chosen.name}"
            return f"without validation samples nothing can be compared: {last} is kept"
        name = metrics.primary
        others = [
            f"{other.name} has {_number(other, name)}"
            for other in self.candidates
            if other is not self.chosen
        ]
        text = (
            f"{self.chosen.name} has the best {name} on {metrics.num_samples} validation samples, "
            f"{_number(self.chosen, name)}"
        )
        if not others:
            return text
        ties = [c for c in self.candidates if c is not self.chosen and _ties(c, self.chosen)]
        tied = ", with the lower loss" if ties else ""
        return f"{text}{tied}; {', '.join(others)}"

    @property
    def finding(self) -> Finding | None:
        """Finding for a run in which training did not help; None otherwise."""
        if not self.num_epochs or self.chosen.what == "epoch" or self.chosen.metrics is None:
            return None
        if self.chosen.what == "repaired":
            return Finding(
                code="training_did_not_help",
                severity="notice",
                message="Training did not improve the repaired network, which is the result: "
                f"{self.reason}. Without training (retrain.epochs 0) the job gives the same in "
                "less time; more samples or a lower retrain.optimizer.learning_rate may help.",
            )
        return Finding(
            code="training_did_not_help",
            severity="serious",
            message=f"Training did not help, and {self.chosen.name} is the result: {self.reason}. "
            "Check that the data set uses the preprocessing and labels the network was trained "
            "with. Then try more samples, more epochs, or a lower "
            "retrain.optimizer.learning_rate.",
        )

    def report(self) -> KeptReport:
        """Return the choice as the report shows it."""
        chosen, metrics = self.chosen, self.chosen.metrics
        return KeptReport(
            what=chosen.what,
            epoch=chosen.epoch or None,
            metric=metrics.primary if metrics is not None else None,
            value=_value(chosen),
            loss=finite(metrics.loss) if metrics is not None else None,
            reason=self.reason,
            candidates=tuple(
                CandidateReport(
                    what=each.what,
                    epoch=each.epoch or None,
                    value=_value(each),
                    loss=finite(each.metrics.loss) if each.metrics is not None else None,
                )
                for each in self.candidates
            ),
        )


def keep_best(candidates: Sequence[Candidate], num_epochs: int) -> Kept:
    """Return the best candidate: the first of equals, or the last if none was measured."""
    if all(candidate.metrics is None for candidate in candidates):
        return Kept(candidates[-1], tuple(candidates), num_epochs)
    return Kept(max(candidates, key=lambda each: each.rank), tuple(candidates), num_epochs)


def _value(candidate: Candidate) -> float | None:
    metrics = candidate.metrics
    return None if metrics is None else finite(metrics.values[metrics.primary])


def _number(candidate: Candidate, name: str) -> str:
    found = None if candidate.metrics is None else candidate.metrics.values.get(name)
    return "none" if found is None else f"{found:.4f}"


def _ties(one: Candidate, other: Candidate) -> bool:
    return one.rank[:2] == other.rank[:2]

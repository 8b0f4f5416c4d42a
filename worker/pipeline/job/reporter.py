"""The child's side of the pipe: messages as JSON lines, progress at most a few times a second."""

import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.contracts.job import Stage
from app.contracts.layers import PlanSummary
from app.contracts.report import Finding
from app.contracts.spec import AccuracySelection, PruneConfig
from worker.messages import (
    Failed,
    Json,
    Metric,
    Planned,
    Progress,
    Saved,
    StageStarted,
    Succeeded,
    Warned,
)
from worker.pipeline.job.remaining import Remaining, after_training
from worker.pipeline.job.stopping import StopRequest

_PROGRESS_SECONDS = 0.5
_CALM_SHARE, _CALM_SECONDS = 0.05, 2.0  # how soon a new estimate takes the place of the old one

AnyMessage = StageStarted | Progress | Metric | Planned | Warned | Saved | Succeeded | Failed


@dataclass
class Reporter:
    """Writes messages to a file descriptor, remembers how long each stage took, hears of a stop."""

    descriptor: int
    stop: StopRequest = field(default_factory=StopRequest)
    stage_seconds: dict[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    stage: Stage | None = None
    clock: Callable[[], float] = time.monotonic
    _began: float | None = None
    _stage_started: float = 0.0
    _last_progress: float = 0.0
    _part: tuple[float, float] = (0.0, 1.0)
    _title: str = ""
    _remaining: Remaining = field(default_factory=Remaining)
    _told: tuple[float, float] | None = None  # (seconds left, when that was said)
    _is_search: bool = False

    def expect(self, config: PruneConfig) -> None:
        """Take the stages of this config's job to last as long as they do."""
        self._is_search = isinstance(config.selection, AccuracySelection)

    @property
    def title(self) -> str:
        """Which part is being done, such as a trial of a search; empty where there is but one."""
        return self._title

    @contextmanager
    def part(self, number: int, total: int, title: str, *, num_parts: int = 1) -> Iterator[None]:
        """Take the progress told inside as that of part ``number`` (from 0) of ``total``.

        Parts may have parts; ``num_parts`` is how many of the total this one stands for.
        """
        part, outer = self._part, self._title
        start, size = part[0], part[1] - part[0]
        self._part = (start + size * number / total, start + size * (number + num_parts) / total)
        self._title = f"{outer}, {title}" if outer else title
        self._remaining.begin_part(self.clock())
        self.progress(0, 1, "", is_forced=True)
        try:
            yield
        finally:
            self._part, self._title = part, outer

    def begin(self, stage: Stage) -> None:
        """Say that ``stage`` begins, and that the one before it is over."""
        self._end_stage()
        self.stage, self._stage_started = stage, self.clock()
        if self._began is None:
            self._began = self._stage_started
        self._remaining.begin_part(self._stage_started)
        self.send(StageStarted(stage=stage))
        self.progress(0, 1, stage.value, is_forced=True)

    def progress(
        self,
        step: int,
        num_steps: int,
        message: str,
        *,
        cycle: int | None = None,
        is_forced: bool = False,
    ) -> None:
        """Say how far the stage is; too frequent calls are dropped.

        Args:
            step: Of the present part.
            num_steps: How many it has.
            message: What is done.
            cycle: The step is one of training, and so many make an epoch.
            is_forced: Not dropped.
        """
        now = self.clock()
        if self.stage is None:
            return
        if cycle is not None:
            self._remaining.step(now, step, num_steps, cycle)
        if now - self._last_progress < _PROGRESS_SECONDS and not is_forced:
            return
        self._last_progress = now
        start, end = self._span(self.stage)
        low, high = self._part
        share = low + min(1.0, step / max(1, num_steps)) * (high - low)
        message = ": ".join(text for text in (self._title, message) if text)
        left = self._seconds_left(now)
        self.send(
            Progress(
                fraction=start + share * (end - start),
                step=step,
                num_steps=num_steps,
                message=message,
                eta_seconds=None if left is None else round(left, 1),
                elapsed_seconds=round(now - (now if self._began is None else self._began), 1),
            )
        )

    def _span(self, stage: Stage) -> tuple[float, float]:
        """Return where a stage begins and ends on the way from 0 to 1."""
        shares = {s: s.search_percent if self._is_search else s.percent for s in Stage}
        end = 0
        for each, share in shares.items():
            end += share
            if each is stage:
                break
        return (end - shares[stage]) / 100, end / 100

    def _seconds_left(self, now: float) -> float | None:
        """Return how long the whole job still takes; None before training shows it."""
        assert self.stage is not None  # noqa: S101  # the caller has looked
        prune_seconds = self.stage_seconds.get(Stage.PRUNE.value, 0.0)
        left: float | None = after_training(self.stage, now - self._stage_started, prune_seconds)
        stages = list(Stage)
        trains = Stage.SELECT if self._is_search else Stage.RETRAIN
        if self.stage is trains:
            steps = self._remaining.of_training(now, *self._part)
            left = None if steps is None or left is None else left + steps
        elif stages.index(self.stage) < stages.index(trains):
            left = None
        if left is None:
            return None
        if self._told is not None:  # an estimate moves calmly, or nobody believes it
            told, told_at = self._told
            old = max(0.0, told - (now - told_at))
            calm = max(_CALM_SECONDS, _CALM_SHARE * left)
            left = old + (left - old) * (1 - math.exp(-(now - told_at) / calm))
        self._told = left, now
        return left

    def metric(self, data: Json) -> None:
        """Keep numbers worth keeping."""
        self.send(Metric(data=data))

    def planned(self, plan: PlanSummary) -> None:
        """Say what will be removed."""
        self.send(Planned(plan=plan))

    def saved(self) -> None:
        """Say that a state is saved from which the job can go on."""
        self.send(Saved())

    def warn(self, message: str, *, replaces: str | None = None) -> None:
        """Tell the user something that does not end the job.

        Args:
            message: One or more sentences.
            replaces: A warning of the service's that no longer holds.
        """
        self.warnings.append(message)
        self.send(Warned(message=message, replaces=replaces))

    def find(self, finding: Finding) -> None:
        """Tell the user, and the programs that read on, something that should not be missed."""
        self.findings.append(finding)
        self.send(Warned(**finding.model_dump()))

    def succeed(self, message: Succeeded) -> None:
        """Say that the job is done."""
        self._end_stage()
        self.send(message)

    def send(self, message: AnyMessage) -> None:
        """Write one message whole; a pipe may take it in pieces."""
        data = message.model_dump_json().encode() + b"\n"
        while data:
            data = data[os.write(self.descriptor, data) :]

    def _end_stage(self) -> None:
        if self.stage is not None:
            taken = self.clock() - self._stage_started
            self.stage_seconds[self.stage.value] = round(taken, 3)
            self.stage = None

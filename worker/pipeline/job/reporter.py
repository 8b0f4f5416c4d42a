"""Job process's end of the message pipe: JSON lines, with progress limited to two a second."""

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
    shorten,
)
from worker.pipeline.job.remaining import Remaining, after_training
from worker.pipeline.job.stopping import StopRequest

_PROGRESS_SECONDS = 0.5
_CALM_SHARE, _CALM_SECONDS = 0.05, 2.0  # smoothing time of the remaining-time estimate

_USUAL = tuple(stage for stage in Stage if stage is not Stage.QUANTIZE)

AnyMessage = StageStarted | Progress | Metric | Planned | Warned | Saved | Succeeded | Failed


@dataclass
class Reporter:
    """Writer of job messages to a file descriptor; records what every stage took.

    Attributes:
        stage_seconds: Seconds of each stage that has ended.
        stage_devices: Device that each stage computed on.
        stage_peaks: Most bytes that each stage held on an accelerator.
        read_peak: Returns the most bytes held there since its last call; None on the CPU.
    """

    descriptor: int
    stop: StopRequest = field(default_factory=StopRequest)
    stage_seconds: dict[str, float] = field(default_factory=dict)
    stage_devices: dict[str, str] = field(default_factory=dict)
    stage_peaks: dict[str, int] = field(default_factory=dict)
    read_peak: Callable[[], int | None] = lambda: None
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
    _told: tuple[float, float] | None = None  # (seconds left, time reported)
    _is_search: bool = False
    _stages: tuple[Stage, ...] = _USUAL  # that the job has

    def expect(self, config: PruneConfig) -> None:
        """Set the expected share of each stage from the config."""
        self._is_search = isinstance(config.selection, AccuracySelection)
        self._stages = tuple(Stage) if config.precision.kind == "int8" else _USUAL

    @property
    def title(self) -> str:
        """Current part, such as a trial of a search; empty outside `part`."""
        return self._title

    @contextmanager
    def part(self, number: int, total: int, title: str, *, num_parts: int = 1) -> Iterator[None]:
        """Scale progress reported inside to part ``number`` (from 0) of ``total``.

        Parts can be nested; ``num_parts`` is the number of parts this one covers.
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
        """Report the start of ``stage`` and end the previous one."""
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
        """Report progress of the stage; calls within 0.5 s of the last one are dropped.

        Args:
            step: Step within the current part.
            num_steps: Number of steps in the current part.
            message: Current activity.
            cycle: Steps per epoch, for training steps; None otherwise.
            is_forced: Whether to send regardless of the rate limit.
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
                message=shorten(message),
                eta_seconds=None if left is None else round(left, 1),
                elapsed_seconds=round(now - (now if self._began is None else self._began), 1),
            )
        )

    def _span(self, stage: Stage) -> tuple[float, float]:
        """Return the start and end of a stage as fractions of the job, from 0 to 1."""
        shares = {s: s.search_percent if self._is_search else s.percent for s in self._stages}
        end = 0
        for each, share in shares.items():
            end += share
            if each is stage:
                break
        whole = sum(shares.values())
        return (end - shares[stage]) / whole, end / whole

    def _seconds_left(self, now: float) -> float | None:
        """Return the estimated seconds left for the job; None until training gives a pace."""
        assert self.stage is not None  # noqa: S101  # the caller has looked
        prune_seconds = self.stage_seconds.get(Stage.PRUNE.value, 0.0)
        left: float | None = after_training(
            self.stage, now - self._stage_started, prune_seconds, self._stages
        )
        stages = list(Stage)
        trains = Stage.SELECT if self._is_search else Stage.RETRAIN
        if self.stage is trains:
            steps = self._remaining.of_training(now, *self._part)
            left = None if steps is None or left is None else left + steps
        elif stages.index(self.stage) < stages.index(trains):
            left = None
        if left is None:
            return None
        if self._told is not None:  # smooth the estimate, so that it does not jump
            told, told_at = self._told
            old = max(0.0, told - (now - told_at))
            calm = max(_CALM_SECONDS, _CALM_SHARE * left)
            left = old + (left - old) * (1 - math.exp(-(now - told_at) / calm))
        self._told = left, now
        return left

    def note_device(self, device: str) -> None:
        """Record that the stage computes on ``device``, such as ``cuda``."""
        if self.stage is not None:
            self.stage_devices[self.stage.value] = device

    def metric(self, data: Json, key: str) -> None:
        """Report a record of numbers, such as those of an epoch.

        ``key`` is the same in every attempt of the job, so that a repetition is not stored.
        """
        self.send(Metric(data=data, key=key))

    def planned(self, plan: PlanSummary) -> None:
        """Report the plan."""
        self.send(Planned(plan=plan))

    def saved(self) -> None:
        """Report a saved checkpoint."""
        self.send(Saved())

    def warn(self, message: str, *, replaces: str | None = None) -> None:
        """Report a warning.

        Args:
            message: Text of one or more sentences.
            replaces: Earlier warning that this one supersedes.
        """
        self.warnings.append(message)
        self.send(Warned(message=shorten(message), replaces=replaces and shorten(replaces)))

    def find(self, finding: Finding) -> None:
        """Report a finding: a warning with a stable code and a severity."""
        self.findings.append(finding)
        self.send(Warned(**finding.model_dump() | {"message": shorten(finding.message)}))

    def succeed(self, message: Succeeded) -> None:
        """Report success and end the last stage."""
        self._end_stage()
        self.send(message)

    def send(self, message: AnyMessage) -> None:
        """Write one complete message; a pipe may accept only part of it per write."""
        data = message.model_dump_json().encode() + b"\n"
        while data:
            data = data[os.write(self.descriptor, data) :]

    def _end_stage(self) -> None:
        if self.stage is not None:
            taken = self.clock() - self._stage_started
            self.stage_seconds[self.stage.value] = round(taken, 3)
            self.stage_devices.setdefault(self.stage.value, "cpu")
            if (peak := self.read_peak()) is not None:
                self.stage_peaks[self.stage.value] = peak
            self.stage = None

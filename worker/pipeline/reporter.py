"""The child's side of the pipe: messages as JSON lines, progress at most a few times a second."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from app.contracts.job import Stage
from app.contracts.layers import PlanSummary
from app.contracts.report import Finding
from app.contracts.spec import AccuracySelection, PruneConfig
from worker.pipeline.stopping import StopRequest
from worker.protocol import (
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

_PROGRESS_SECONDS = 0.5

# Where each stage begins and ends on the way from 0 to 1, by what a short job spends.
_SPANS: dict[Stage, tuple[float, float]] = {
    Stage.INTAKE: (0.0, 0.05),
    Stage.SALIENCY: (0.05, 0.1),
    Stage.SELECT: (0.1, 0.11),
    Stage.PRUNE: (0.11, 0.2),
    Stage.RETRAIN: (0.2, 0.85),
    Stage.VERIFY: (0.85, 0.88),
    Stage.EXPORT: (0.88, 0.98),
    Stage.PACKAGE: (0.98, 1.0),
}

# A search retrains while it selects, and then has the network.
_SEARCH_SPANS = _SPANS | {
    Stage.SELECT: (0.1, 0.8),
    Stage.PRUNE: (0.8, 0.84),
    Stage.RETRAIN: (0.84, 0.85),
}

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
    spans: Mapping[Stage, tuple[float, float]] = field(default_factory=lambda: _SPANS)
    _stage_started: float = 0.0
    _last_progress: float = 0.0
    _part: tuple[float, float] = (0.0, 1.0)
    _title: str = ""

    def expect(self, config: PruneConfig) -> None:
        """Take the stages of this config's job to last as long as they do."""
        self.spans = _SEARCH_SPANS if isinstance(config.selection, AccuracySelection) else _SPANS

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
        self.progress(0, 1, "", is_forced=True)
        try:
            yield
        finally:
            self._part, self._title = part, outer

    def begin(self, stage: Stage) -> None:
        """Say that ``stage`` begins, and that the one before it is over."""
        self._end_stage()
        self.stage, self._stage_started = stage, time.monotonic()
        self.send(StageStarted(stage=stage))
        self.progress(0, 1, stage.value, is_forced=True)

    def progress(self, step: int, num_steps: int, message: str, *, is_forced: bool = False) -> None:
        """Say how far the stage is; too frequent calls are dropped."""
        now = time.monotonic()
        if self.stage is None or (now - self._last_progress < _PROGRESS_SECONDS and not is_forced):
            return
        self._last_progress = now
        start, end = self.spans[self.stage]
        low, high = self._part
        share = low + min(1.0, step / max(1, num_steps)) * (high - low)
        message = ": ".join(text for text in (self._title, message) if text)
        elapsed = now - self._stage_started
        eta = elapsed / share - elapsed if share > 0 else None
        self.send(
            Progress(
                fraction=start + share * (end - start),
                step=step,
                num_steps=num_steps,
                message=message,
                eta_seconds=None if eta is None else round(eta, 1),
            )
        )

    def metric(self, data: Json) -> None:
        """Keep numbers worth keeping."""
        self.send(Metric(data=data))

    def planned(self, plan: PlanSummary) -> None:
        """Say what will be removed."""
        self.send(Planned(plan=plan))

    def saved(self) -> None:
        """Say that a state is saved from which the job can go on."""
        self.send(Saved())

    def warn(self, message: str) -> None:
        """Tell the user something that does not end the job."""
        self.warnings.append(message)
        self.send(Warned(message=message))

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
            taken = time.monotonic() - self._stage_started
            self.stage_seconds[self.stage.value] = round(taken, 3)
            self.stage = None

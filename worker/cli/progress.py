"""Show a job's messages on a terminal: progress bar, warnings, and the metrics of each epoch."""

from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from worker.messages import Metric, StageStarted, Warned
from worker.messages import Progress as ProgressMessage
from worker.pipeline.job.reporter import AnyMessage, Reporter


class ConsoleReporter(Reporter):
    """Reporter that prints messages on a console instead of sending them over a pipe."""

    def __init__(self, console: Console) -> None:
        super().__init__(descriptor=-1)
        columns = (
            TextColumn("{task.fields[stage]:9}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
        )
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("", total=1.0, stage="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def send(self, message: AnyMessage) -> None:
        """Show one message."""
        if isinstance(message, StageStarted):
            self._bar.update(self._task, stage=message.stage.value)
        elif isinstance(message, ProgressMessage):
            text = message.message
            if message.eta_seconds is not None:
                text = f"{text}, {timedelta(seconds=round(message.eta_seconds))} left"
            self._bar.update(self._task, completed=message.fraction, description=text)
        elif isinstance(message, Warned):
            colour = "bold red" if message.severity == "serious" else "yellow"
            self._bar.console.print(Text("warning", colour), message.message)
        elif isinstance(message, Metric) and message.data.get("kind") == "epoch":
            self._bar.console.print(_epoch(message.data))


def _epoch(data: dict[str, object]) -> str:
    text = f"epoch {data['epoch']} of {data['num_epochs']}: train loss {data['train_loss']:.4f}"
    accuracy = data.get("validation_metric")
    return text if accuracy is None else f"{text}, validation {accuracy:.4f}"

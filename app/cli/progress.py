"""Progress of commands on standard error: bars on a terminal, lines in a log."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from app.cli.client import is_terminal
from app.cli.output import console, warning_word
from secateur import Client, Event, Job
from secateur.types import SweepData

ByteProgress = Callable[[int, int], None]
FileProgress = Callable[[str, int, int], None]


@contextmanager
def sending(path: Path) -> Iterator[ByteProgress]:
    """Yield a callback that shows the progress of an upload."""
    with _bytes_bar() as bar:
        task = bar.add_task(path.name, total=None)

        def show(done: int, total: int) -> None:
            title = path.name if done < total else f"{path.name}: intake"
            bar.update(task, completed=done, total=total, description=title)

        yield show


@contextmanager
def receiving() -> Iterator[FileProgress]:
    """Yield a callback that shows the progress of each download."""
    tasks: dict[str, TaskID] = {}
    with _bytes_bar() as bar:

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total)
            bar.update(tasks[name], completed=done)

        yield show


def follow(client: Client, job: Job, *, already_shown: Collection[str] = ()) -> Job:
    """Show a job's progress until it ends and return the finished job.

    Args:
        client: Client of the service.
        job: Job to follow.
        already_shown: Warnings not to print again.

    Raises:
        JobNotSucceededError: The job failed, was cancelled or expired.
    """
    with _Follower(job, already_shown) as follower:
        for event in client.events(job.id):
            follower.show(event)
    return client.wait(job.id)


@contextmanager
def counting(sweep: SweepData) -> Iterator[Callable[[SweepData], None]]:
    """Yield a callback that shows how many jobs of a sweep have ended."""
    total = sum(sweep.counts.values())
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with _bar(*columns, TimeElapsedColumn()) as bar:
        task = bar.add_task("sweep", total=total, note="")

        def show(found: SweepData) -> None:
            ended = sum(found.counts.get(name, 0) for name in _ENDED)
            counts = ", ".join(f"{number} {name}" for name, number in sorted(found.counts.items()))
            total = sum(found.counts.values())  # grows when points are chosen for training
            bar.update(task, completed=ended, total=total, note=counts)

        yield show


_ENDED = ("succeeded", "failed", "cancelled", "expired")


class _Follower:
    """Display of a job's events: a bar for progress, lines for epochs and warnings."""

    def __init__(self, job: Job, already_shown: Collection[str] = ()) -> None:
        self._shown_warnings = set(already_shown)
        self._out: Console = console(is_result=False)
        columns = (
            TextColumn("{task.description:<9}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[note]}", markup=False),
        )
        self._bar = _bar(*columns, TimeElapsedColumn(), out=self._out)
        note = f"jobs ahead: {job.queue_position}" if job.queue_position else ""
        self._task = self._bar.add_task(job.status, total=1.0, note=note)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Show one event."""
        data = event.data
        if event.type == "progress":
            note = str(data.get("message", ""))
            if (left := data.get("eta_seconds")) is not None:
                note = f"{note}, {timedelta(seconds=round(left))} left"
            done = data.get("fraction", 0)
            self._bar.update(self._task, completed=done, note=note)
        elif event.type == "stage.started":
            stage = str(data.get("stage", ""))
            self._bar.update(self._task, description=stage, note="")
            if not is_terminal():
                self._out.print(stage)
        elif event.type == "metric" and "epoch" in data:
            self._out.print(_epoch(data))
        elif event.type == "warning" and data.get("message") not in self._shown_warnings:
            self._shown_warnings.add(str(data.get("message")))
            word = warning_word(data.get("severity"))
            self._out.print(word, str(data.get("message", "")))
        elif event.type.startswith("job."):
            status = event.type.removeprefix("job.")
            self._bar.update(self._task, description=status, note="")
            if status == "succeeded":
                self._bar.update(self._task, completed=1.0)


def _epoch(data: dict[str, Any]) -> str:
    of = f"/{data['num_epochs']}" if data.get("num_epochs") else ""
    run = f"{data['run']}: " if data.get("run") else ""
    parts = [f"{run}epoch {data['epoch']}{of}"]
    for name, title in (
        ("train_loss", "loss"),
        ("validation_loss", "validation loss"),
        ("validation_metric", "validation metric"),
    ):
        if isinstance(data.get(name), int | float):
            parts.append(f"{title} {data[name]:.4f}")
    return ", ".join(parts)


class _Speed(TransferSpeedColumn):
    """Transfer speed, empty until it is known."""

    def render(self, task: Task) -> Text:
        return Text() if task.finished or not task.speed else super().render(task)


def _bytes_bar() -> Progress:
    return _bar(
        TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn(), _Speed()
    )


def _bar(*columns: Any, out: Console | None = None) -> Progress:  # noqa: ANN401  # rich's columns
    out = out or console(is_result=False)
    return Progress(*columns, console=out, disable=not is_terminal())

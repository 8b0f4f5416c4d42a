"""Progress output while a job runs."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.cli.progress import follow
from secateur import Client, Event, Job


def test_a_warning_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("no preprocessing was given", "few samples", "few samples")
    events = [
        Event(number=number, type="warning", data={"message": text}, created_at=None)
        for number, text in enumerate(words)
    ]
    job = cast("Job", SimpleNamespace(id="job_1", status="running", queue_position=None))
    client: Any = SimpleNamespace(events=lambda _: iter(events), wait=lambda _: job)
    assert follow(cast("Client", client), job, already_shown=words[:1]) is job
    printed = capsys.readouterr().err
    assert printed.count("few samples") == 1
    assert "no preprocessing" not in printed

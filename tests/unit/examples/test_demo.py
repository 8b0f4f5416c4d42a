"""Progress output, stalls and resumption of the demo."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from examples import demo
from examples.pace import Size
from secateur import WaitTimeoutError
from secateur.types import JobData
from secateur.types.jobs import Progress


def at(stage: str, fraction: float, step: int = 0) -> JobData:
    message = f"step {step} of 300" if step else ""
    progress = Progress(fraction=fraction, message=message, step=step, num_steps=300)
    return JobData.model_construct(id="job_1", status="running", stage=stage, progress=progress)


def test_one_line_per_epoch_is_printed_without_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = demo._ProgressLines(num_epochs=3)
    lines.show(at("select", 0.2))
    for step in range(1, 300):
        lines.show(at("retrain", 0.2 + step / 1000, step))
    printed = capsys.readouterr().out.splitlines()
    assert [f"epoch {n} of 3" in line for n, line in enumerate(printed)] == [
        False,
        True,
        True,
        True,
    ]


def test_a_stalled_job_fails_the_demo(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stuck:
        id = "job_1"

        def wait(self, *_: object, **__: object) -> None:
            raise WaitTimeoutError("it continues")

    monkeypatch.setattr(demo, "STALL_SECONDS", 0)
    with pytest.raises(demo.DemoError, match="no progress"):
        demo._follow(Stuck(), Size(10, 10, 1))  # type: ignore[arg-type]


def test_an_unfinished_demo_is_found_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    assert demo._read_state(tmp_path) is None
    size = Size(6_000, 2_000, 2)
    (tmp_path / demo.STATE).write_text(json.dumps({"job": "job_1", "size": asdict(size)}))
    assert demo._read_state(tmp_path) == ("job_1", size)
    (tmp_path / demo.STATE).write_text('{"job": "job_1", "size": {"other": 1}}')
    assert demo._read_state(tmp_path) is None
    with pytest.raises(demo.DemoError, match="not from an earlier demo"):
        demo._prepare_folder(tmp_path)
    assert (tmp_path / demo.STATE).exists()

"""Jobs in trackio, read back through trackio's own API."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trackio
from trackio.sqlite_storage import SQLiteStorage

from app.contracts.ids import new_id
from secateur import Job, SecateurError
from secateur.trackio_mirror import mirror
from secateur.types import Event, JobData
from tests.fixtures.shown import summary
from tests.unit.client.script import job as job_body


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path)
    monkeypatch.setattr("trackio.utils.TRACKIO_DIR", tmp_path)
    return tmp_path


def event(number: int, name: str, **data: Any) -> Event:
    body = {"number": number, "type": name, "data": data, "created_at": None}
    return Event.model_validate(body)


def epoch(number: int, loss: float, run: str = "retrain") -> Event:
    return event(number, "metric", kind="epoch", run=run, epoch=1, num_epochs=2, train_loss=loss)


BROKEN = event(99, "progress")


class Recorded:
    """A client that knows one job: all its events, or those of the streams it is given."""

    def __init__(self, *streams: list[Event], **changes: Any) -> None:
        self.streams = list(streams)
        last = streams[-1][-1]
        ids = {"model": new_id("mdl"), "version": "2", "infer_url": "/infer"}
        status = last.type.removeprefix("job.")
        result = {**ids, "summary": summary(), "artifacts": []} if status == "succeeded" else None
        body = job_body(status=status, result=result, num_events=last.number, **changes)
        self.asked: list[int] = []
        self.job = Job.of(self, JobData.model_validate(body))  # type: ignore[arg-type]

    def events(self, _: str, after: int) -> Iterator[Event]:
        self.asked.append(after)
        stream = self.streams.pop(0)
        for one in stream:
            if one is BROKEN:
                raise SecateurError("the stream broke")
            if one.number > after:
                yield one

    def get_job(self, _: str) -> Job:
        return self.job


def logged(job: Job, project: str = "shapes") -> list[dict[str, Any]]:
    assert job.id in [run.name for run in trackio.Api().runs(project)]
    return SQLiteStorage.get_logs(project, job.id)


ALL = [
    event(1, "progress"),
    epoch(2, 0.5, "dense baseline"),
    epoch(3, 0.25),
    event(4, "job.succeeded"),
]


def test_curves_and_final_figures_are_logged_by_event() -> None:
    client = Recorded(ALL, resolved={"selection": {"macs": 0.5}}, sweep="swp_1")
    job = mirror(client.job, "shapes")
    first, second, last = logged(job)
    assert (first["step"], first["dense baseline/train_loss"]) == (2, 0.5)
    assert (second["step"], second["retrain/train_loss"]) == (3, 0.25)
    assert "retrain/epoch" not in second
    assert job.result is not None
    found = job.result.summary
    assert (last["step"], last["status"]) == (4, "succeeded")
    assert last["pruned/macs"] == found.retrained.macs
    assert last["macs_share"] == pytest.approx(found.retrained.macs / found.dense.macs)
    assert found.verdict is not None
    assert last["verdict"] == found.verdict.text
    config = trackio.Api().runs("shapes")[0].config
    assert config is not None
    assert (config["selection.macs"], config["_Group"]) == (0.5, "swp_1")


def test_a_mirror_that_broke_off_continues_after_the_last_event() -> None:
    client = Recorded([*ALL[:2], BROKEN], ALL, ALL)
    with pytest.raises(SecateurError, match="the stream broke"):
        mirror(client.job, "shapes")
    assert [entry["step"] for entry in logged(client.job)] == [2]
    mirror(client.job, "shapes")
    mirror(client.job, "shapes")
    assert client.asked == [0, 2, 4]
    assert [entry["step"] for entry in logged(client.job)] == [2, 3, 4]


def test_a_job_that_was_retried_is_followed_to_its_last_end() -> None:
    failed = [epoch(1, 0.5), event(2, "job.failed")]
    client = Recorded(failed, [epoch(3, 0.25), event(4, "job.succeeded")])
    job = mirror(client.job, "shapes")
    ends = [(one["step"], one["status"]) for one in logged(job) if "status" in one]
    assert ends == [(2, "failed"), (4, "succeeded")]


def test_a_refused_project_is_named() -> None:
    with pytest.raises(SecateurError, match="trackio refused project 'registry-x'"):
        mirror(Recorded(ALL).job, "registry-x")

"""The layers of a job, and its events by type."""

import json
from collections.abc import Iterator

import pytest

from tests.fixtures.api import Api, running_api
from tests.fixtures.shown import Shown, fill

_MOST_BYTES = 100_000


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("layers") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def shown(api: Api) -> Shown:
    return fill(api.sessions, num_layers=100, num_events=120)


def test_layers_are_small_enough_to_draw(api: Api, shown: Shown) -> None:
    response = api.client.get(f"/v1/jobs/{shown.jobs['succeeded']}/layers")
    assert response.status_code == 200
    assert len(response.content) < _MOST_BYTES
    body = response.json()
    assert (body["object"], body["criterion"]) == ("layers", "l1")
    assert len(body["layers"]) == 100
    layer = body["layers"][0]
    assert layer["curve"][0][0] == 0
    assert layer["curve"][-1][0] == layer["num_groups"] - 1


def test_nothing_is_drawn_before_the_plan(api: Api, shown: Shown) -> None:
    response = api.client.get(f"/v1/jobs/{shown.jobs['queued']}/layers")
    assert response.status_code == 409
    assert "which filters to remove is not decided" in response.json()["detail"]


def test_the_newest_plan_counts(api: Api, shown: Shown) -> None:
    path = f"/v1/jobs/{shown.jobs['succeeded']}"
    plans = api.client.get(f"{path}/events?type=plan").json()
    assert api.client.get(f"{path}/layers").json()["event"] == plans[-1]["number"]


@pytest.mark.parametrize(
    ("query", "types"),
    [
        ("type=stage", {"stage.started"}),
        ("type=stage.started", {"stage.started"}),
        ("type=job&type=plan", {"job.queued", "job.running", "job.succeeded", "plan"}),
        ("type=job.queued", {"job.queued"}),
        ("type=progres", set()),
        ("type=job.", set()),
    ],
)
def test_events_are_found_by_type(api: Api, shown: Shown, query: str, types: set[str]) -> None:
    path = f"/v1/jobs/{shown.jobs['succeeded']}/events?{query}&limit=500"
    assert {event["type"] for event in api.client.get(path).json()} == types


@pytest.mark.parametrize("bad", ["type=%25", "type=JOB", "type=", "&".join(["type=a"] * 17)])
def test_an_unknown_event_type_is_refused(api: Api, shown: Shown, bad: str) -> None:
    response = api.client.get(f"/v1/jobs/{shown.jobs['succeeded']}/events?{bad}")
    assert response.status_code == 422


def test_a_stream_may_be_of_some_types_and_ends_with_the_job(api: Api, shown: Shown) -> None:
    path = f"/v1/jobs/{shown.jobs['succeeded']}/events?type=metric&type=job.succeeded"
    response = api.client.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": "2"})
    found = [json.loads(line[6:]) for line in response.text.splitlines() if line[:5] == "data:"]
    assert [event["type"] for event in found] == ["job.succeeded"] + ["metric"] * 12
    numbers = [event["number"] for event in found]
    assert numbers == sorted(numbers)


def test_a_job_has_the_number_of_its_newest_event(api: Api, shown: Shown) -> None:
    job = api.client.get(f"/v1/jobs/{shown.jobs['succeeded']}").json()
    assert job["num_events"] == 120
    after = f"{job['urls']['events']}?after={job['num_events']}"
    assert api.client.get(after).json() == []

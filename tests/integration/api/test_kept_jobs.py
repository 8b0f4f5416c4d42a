"""Jobs, models and data sets that users name, tag, find, compare, delete and restore; goals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from app.contracts.goals import GOALS
from app.contracts.spec import PruneConfig
from app.records.database import current_time
from app.records.tables import DatasetRow, JobRow, ModelRow
from tests.fixtures.api import Api, running_api, zip_bytes
from tests.fixtures.shown import Shown, fill

Json = dict[str, Any]
_HOUR = 3600.0


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("kept") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def shown(api: Api) -> Shown:
    return fill(api.sessions)


def answer(response: Any, status: int = 200) -> Json:
    assert response.status_code == status, response.text
    found: Json = response.json()
    return found


def listed(api: Api, query: str) -> list[str]:
    return [job["id"] for job in answer(api.client.get(f"/v1/jobs?limit=100&{query}"))["data"]]


def post(api: Api, shown: Shown, status: int = 202, **body: object) -> Json:
    sent = {"model": shown.model, "dataset": shown.dataset, **body}
    return answer(api.client.post("/v1/jobs", json=sent), status)


def test_a_job_has_the_name_and_the_tags_that_it_was_given(api: Api, shown: Shown) -> None:
    job = post(api, shown, name="First try", tags=["prod", "a b", "prod"])
    assert (job["name"], job["tags"]) == ("First try", ["prod", "a b"])
    path = f"/v1/jobs/{job['id']}"
    changed = answer(api.client.patch(path, json={"name": "Second"}))
    assert (changed["name"], changed["tags"]) == ("Second", ["prod", "a b"])
    changed = answer(api.client.patch(path, json={"name": None, "tags": []}))
    assert (changed["name"], changed["tags"]) == (None, [])
    read = answer(api.client.get(path))
    assert (read["name"], read["tags"]) == (None, [])
    refused = answer(api.client.patch(path, json={"tags": ["x"] * 21}), 422)
    assert refused["errors"][0]["pointer"] == "/tags"


def test_jobs_are_found_by_text_tag_and_status(api: Api, shown: Shown) -> None:
    done = shown.jobs["succeeded"]
    body = {"name": "50% off_x", "tags": ["Déjà", "night run"]}
    answer(api.client.patch(f"/v1/jobs/{done}", json=body))
    for text in ("50%25 off", "OFF_X", "D%C3%A9j%C3%A0", "night", done):
        assert listed(api, f"search={text}") == [done], text
    for text in ("50_", "nothing like it", "%25%25"):
        assert listed(api, f"search={text}") == [], text
    assert done in listed(api, "search=onerror")  # its model's name
    assert listed(api, "tag=Night run") == [done]
    assert listed(api, "tag=night") == []
    assert listed(api, "tag=night run&tag=other") == []
    assert set(listed(api, "status=failed&status=paused")) == {
        shown.jobs["failed"],
        shown.jobs["paused"],
    }
    assert done in listed(api, f"model={shown.model}&dataset={shown.dataset}")
    assert listed(api, "model=mdl_other") == []
    assert "status" in api.client.get("/v1/jobs?status=done").text


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_uploads_are_found_by_name_and_status(api: Api, shown: Shown, kind: str) -> None:
    del shown

    def statuses(query: str) -> set[str]:
        found = answer(api.client.get(f"/v1/{kind}?limit=100&{query}"))["data"]
        return {row["status"] for row in found}

    assert "rejected" in statuses("")
    assert "rejected" not in statuses("status=ready&status=validating")
    assert statuses("search=NOT-A-NET" if kind == "models" else "search=Broken") == {"rejected"}
    assert statuses("search=%25") == set()


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_uploads_are_renamed_tagged_and_found_by_tag(api: Api, kind: str) -> None:
    content = zip_bytes() if kind == "models" else zip_bytes(b"x.npy")
    made = answer(api.client.post(f"/v1/{kind}?name=plain", content=content), 201)
    path = f"/v1/{kind}/{made['id']}"
    assert made["tags"] == []
    tags = {"name": "Renamed", "tags": ["Déjà vu", "prod", "prod"]}
    changed = answer(api.client.patch(path, json=tags))
    assert (changed["name"], changed["tags"]) == ("Renamed", ["Déjà vu", "prod"])
    assert answer(api.client.patch(path, json={"name": "Renamed"})) == changed  # nothing to do
    for query in ("tag=prod", "tag=prod&tag=Déjà vu", "search=déjà", "search=renamed"):
        found = answer(api.client.get(f"/v1/{kind}?{query}"))["data"]
        assert [row["id"] for row in found] == [made["id"]], query
    for query in ("tag=pro", "tag=prod&tag=other", "search=100%25"):
        assert answer(api.client.get(f"/v1/{kind}?{query}"))["data"] == [], query
    assert answer(api.client.patch(path, json={"tags": []}))["tags"] == []
    refused = answer(api.client.patch(path, json={"tags": ["x"] * 21}), 422)
    assert refused["errors"][0]["pointer"] == "/tags"


def test_what_the_tenant_deleted_is_told_from_what_never_was(api: Api, shown: Shown) -> None:
    """Only to the tenant that can restore it."""
    dataset = answer(api.client.post("/v1/datasets?name=d", content=zip_bytes(b"x.npy")), 201)
    api.finish_intake(api.queue.rings[-1][0], {"num_samples": 1}, None)
    paths = [f"/v1/datasets/{dataset['id']}", f"/v1/jobs/{shown.jobs['cancelled']}"]
    for path in paths:
        assert api.client.delete(path).status_code == 204
        gone = answer(api.client.get(path), 404)
        assert (gone["code"], gone["instance"]) == ("deleted", path)
        assert "restore" in gone["detail"]
        others = answer(api.client.get(path, headers=api.other_tenant()), 404)
        assert (others["code"], "deleted" in others["detail"]) == ("not_found", False)
        answer(api.client.post(f"{path}/restore"))
        assert api.client.get(path).status_code == 200
    assert api.client.delete(f"{paths[0]}?permanent=true").status_code == 204
    assert answer(api.client.get(paths[0]), 404)["code"] == "not_found"


def test_a_deleted_job_can_be_restored_for_a_time(api: Api, shown: Shown) -> None:
    job = shown.jobs["failed"]
    path = f"/v1/jobs/{job}"
    before = answer(api.client.get(path))
    assert api.client.delete(path).status_code == 204
    assert job not in listed(api, "")
    for method, place in (("GET", ""), ("GET", "/events"), ("PATCH", ""), ("POST", "/retry")):
        response = api.client.request(method, path + place, json={} if method != "GET" else None)
        assert response.status_code == 404, (method, place)
    assert answer(api.client.post(f"{path}/restore")) == before
    assert answer(api.client.post(f"{path}/restore")) == before  # again: nothing to do
    assert job in listed(api, "")
    with api.sessions.begin() as session:
        session.get_one(JobRow, job).deleted_at = current_time(session) - 25 * _HOUR
    refused = answer(api.client.post(f"{path}/restore"), 404)
    assert "more than 24 hours ago" in refused["detail"]


def test_the_files_of_a_deleted_job_are_hidden_with_it(api: Api, shown: Shown) -> None:
    path = f"/v1/jobs/{shown.jobs['succeeded']}"
    file = api.client.get(f"{path}/artifacts").json()[0]["id"]
    assert api.client.delete(path).status_code == 204
    assert api.client.get(f"/v1/artifacts/{file}").status_code == 404
    answer(api.client.post(f"{path}/restore"))
    assert api.client.get(f"/v1/artifacts/{file}").status_code == 200


def test_a_job_of_a_sweep_leaves_the_sweep_when_it_is_deleted(api: Api, shown: Shown) -> None:
    path = f"/v1/sweeps/{shown.sweep}"
    before = answer(api.client.get(path))
    job = before["table"][0]["job"]
    assert api.client.delete(f"/v1/jobs/{job}").status_code == 204
    after = answer(api.client.get(path))
    assert [row["job"] for row in after["table"]] == [row["job"] for row in before["table"][1:]]
    assert sum(after["counts"].values()) == sum(before["counts"].values()) - 1
    answer(api.client.post(f"/v1/jobs/{job}/restore"))


@pytest.mark.parametrize("state", ["queued", "running", "paused"])
def test_a_job_that_has_not_ended_cannot_be_deleted(api: Api, shown: Shown, state: str) -> None:
    refused = answer(api.client.delete(f"/v1/jobs/{shown.jobs[state]}"), 409)
    assert f"is {state}: cancel it" in refused["detail"]


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_deleted_uploads_can_be_restored_for_a_time(api: Api, kind: str) -> None:
    content = zip_bytes() if kind == "models" else zip_bytes(b"x.npy")
    made = answer(api.client.post(f"/v1/{kind}?name=undo-{kind}", content=content), 201)["id"]
    path = f"/v1/{kind}/{made}"
    table: type[ModelRow | DatasetRow] = ModelRow if kind == "models" else DatasetRow
    api.finish_intake(api.queue.rings[-1][0], {"macs": 1}, None)
    assert api.client.delete(path).status_code == 204
    assert api.client.get(path).status_code == 404
    assert answer(api.client.post(f"{path}/restore"))["id"] == made
    assert api.client.get(path).status_code == 200
    with api.sessions.begin() as session:
        session.get_one(table, made).deleted_at = current_time(session) - 25 * _HOUR
    answer(api.client.post(f"{path}/restore"), 404)


def test_a_deleted_upload_counts_until_it_cannot_be_restored(tmp_path: Path) -> None:
    data = zip_bytes()
    with running_api(tmp_path / "data", quotas={"stored_bytes": len(data) + 100}) as api:
        first = answer(api.client.post("/v1/models", content=data), 201)["id"]
        api.finish_intake(api.queue.rings[-1][0], {"macs": 1}, None)
        api.client.delete(f"/v1/models/{first}")
        refused = answer(api.client.post("/v1/models", content=data), 403)
        assert refused["code"] == "storage_quota"
        assert "permanent=true" in refused["detail"]
        answer(api.client.post(f"/v1/models/{first}/restore"))
        assert api.client.delete(f"/v1/models/{first}?permanent=true").status_code == 204
        answer(api.client.post("/v1/models", content=data), 201)
        gone = answer(api.client.post(f"/v1/models/{first}/restore"), 404)
        assert "for good" in gone["detail"]


def test_jobs_are_compared_side_by_side(api: Api, shown: Shown) -> None:
    done, failed = shown.jobs["succeeded"], shown.jobs["cancelled"]
    other = post(api, shown, goal="smaller", name="smaller")["id"]
    found = answer(api.client.get(f"/v1/jobs:compare?job={done}&job={other}&job={failed}"))
    first, second, _ = found["jobs"]
    assert (first["job"], first["status"], second["goal"]) == (done, "succeeded", "smaller")
    assert 0 < first["macs_share"] < 1
    assert first["metric"] == "top1"
    assert first["interval"][0] < first["value"] < first["interval"][1]
    assert second["value"] is None
    modes = found["differences"]["/selection/mode"]
    assert modes[1] == "budget"
    assert modes[0] != "budget"
    for query, text in (
        ("", "1 to 4 different jobs"),
        (f"job={done}&job={done}", "1 to 4 different jobs"),
        ("&".join(f"job={number}" for number in range(5)), "4"),
    ):
        assert text in answer(api.client.get(f"/v1/jobs:compare?{query}"), 422)["detail"]
    headers = api.other_tenant()
    path = f"/v1/jobs:compare?job={done}&job={other}"
    assert api.client.get(path, headers=headers).status_code == 404


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)
def test_a_goal_stands_for_its_config(api: Api, shown: Shown, goal: Any) -> None:
    job = post(api, shown, goal=goal.name)
    assert (job["goal"], job["config"]) == (goal.name, goal.config)
    resolved = PruneConfig.model_validate(goal.config).model_dump(mode="json")
    assert job["resolved"] == resolved
    # The config alone makes the same job, so any job can be started again.
    assert post(api, shown, config=job["config"])["resolved"] == resolved
    assert post(api, shown, goal=goal.title.upper())["goal"] == goal.name


def test_a_goal_and_a_config_are_not_given_together(api: Api, shown: Shown) -> None:
    refused = post(api, shown, 422, goal="faster", config={"seed": 1})
    assert "both 'goal' and 'config'" in refused["detail"]
    assert post(api, shown, goal="faster", config={})["goal"] == "faster"
    refused = post(api, shown, 422, goal="fastr")
    assert "did you mean 'faster'?" in refused["detail"]
    assert "accurate (At most 1 % loss)" in refused["detail"]
    refused = post(api, shown, 422, goal="accurate", dataset=None)
    assert (refused["detail"], refused["errors"][0]["pointer"]) == (
        "goal 'accurate' needs a data set",
        "/goal",
    )


def test_a_goal_is_a_field_of_a_form(api: Api, shown: Shown) -> None:
    parts = {"model": (None, shown.model), "goal": (None, "smaller")}
    job = answer(api.client.post("/v1/jobs", files=parts), 202)
    assert job["config"]["selection"] == {"mode": "budget", "params": 0.5}
    both = {**parts, "config": (None, '{"seed": 1}')}
    refused = answer(api.client.post("/v1/jobs", files=both), 422)
    assert "both 'goal' and 'config'" in refused["detail"]


def test_goals_say_how_long_a_job_will_run(api: Api, shown: Shown) -> None:
    bare = answer(api.client.get("/v1/goals"))["data"]
    assert [goal["name"] for goal in bare] == [goal.name for goal in GOALS]
    assert {goal["seconds"] for goal in bare} == {None}
    path = f"/v1/goals?model={shown.model}&dataset={shown.dataset}"
    by_size = {goal["name"]: goal for goal in answer(api.client.get(path))["data"]}
    assert {goal["basis"] for goal in by_size.values()} <= {"its size", "other jobs here"}
    assert by_size["accurate"]["seconds"] > 2 * by_size["smaller"]["seconds"] > 0
    job = post(api, shown, goal="smaller")["id"]
    with api.sessions.begin() as session:
        row = session.get_one(JobRow, job)
        row.state, row.seconds_run, row.finished_at = "succeeded", 1234.0, current_time(session)
    known = {goal["name"]: goal for goal in answer(api.client.get(path))["data"]}
    assert (known["smaller"]["seconds"], known["smaller"]["basis"]) == (1234.0, "jobs like it")
    assert known["accurate"]["basis"] == "other jobs here"
    assert known["accurate"]["seconds"] > 1234

"""Links to reports: what they open, and what nobody gets through them."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from app.contracts.settings import RetentionSettings
from app.records.database import current_time
from app.records.retention import remove_old
from app.records.tables import JobRow, ShareRow
from app.telemetry.redaction import redact
from tests.fixtures.api import Api, add_report, running_api
from tests.fixtures.shown import Shown, fill

REPORT = "<!doctype html><title>The report</title>"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    limits = {"views_per_second": 1000, "wrong_per_minute": 1000, "most_days": 30}
    with running_api(tmp_path_factory.mktemp("shares") / "data", shares=limits) as found:
        yield found


@pytest.fixture(scope="module")
def shown(api: Api) -> Shown:
    found = fill(api.sessions)
    add_report(api.context, found.jobs["succeeded"], REPORT)
    return found


@pytest.fixture
def share(api: Api, shown: Shown) -> Iterator[dict[str, Any]]:
    made = api.client.post("/v1/shares", json={"job": shown.jobs["succeeded"]})
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    yield made.json()
    api.client.delete(f"/v1/shares/{made.json()['id']}")


def look(api: Api, url: str, **more: Any) -> Any:
    """Send a request without a key."""
    request = api.client.build_request(more.pop("method", "GET"), url, **more)
    request.headers.pop("authorization", None)
    return api.client.send(request)


def test_a_link_shows_the_report_of_its_job_and_nothing_else(
    api: Api, shown: Shown, share: dict[str, Any]
) -> None:
    page = look(api, share["url"])
    assert (page.status_code, page.text) == (200, REPORT)
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "noindex" in page.headers["x-robots-tag"]
    assert page.headers["cache-control"] == "no-store"
    policy = page.headers["content-security-policy"]
    assert "sandbox" in policy
    assert "default-src 'none'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    head = look(api, share["url"], method="HEAD")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(REPORT))
    token = share["url"].rpartition("/")[2]
    job = shown.jobs["succeeded"]
    for path in (f"/v1/jobs/{job}", f"/v1/jobs/{job}/artifacts", "/v1/models", "/v1/shares"):
        stolen = look(api, path, headers={"authorization": f"Bearer {token}"})
        assert stolen.status_code == 401, path
        assert look(api, f"{path}?token={token}").status_code == 401, path
    for rest in ("/model.onnx", "/..", "/report.json", "%2f..%2f"):
        assert look(api, share["url"] + rest).status_code in {401, 404}, rest


def test_a_wrong_token_is_not_told_from_an_old_one(
    api: Api, shown: Shown, share: dict[str, Any]
) -> None:
    good = share["url"]
    last = good[-1]
    wrong = [
        good[:-1], good[:-1] + ("A" if last != "A" else "B"), good + "A",
        "/shared/" + good.rpartition("/")[2].upper(),
        "/shared/" + good.split("_", 2)[2], f"/shared/{share['id']}", "/shared/" + "%F0" * 20,
        f"/shared/{share['id']}_{hashlib.sha256(b'').hexdigest()[:43]}", "/shared/shr_%00",
    ]  # fmt: skip
    answers = {(r.status_code, r.text) for r in (look(api, url) for url in wrong[:-1])}
    with api.sessions.begin() as session:
        session.get_one(ShareRow, share["id"]).expires_at = current_time(session)
    expired = look(api, good)
    listed = api.client.get(f"/v1/shares?job={shown.jobs['succeeded']}").json()["data"]
    assert listed[0]["state"] == "expired"
    with api.sessions.begin() as session:
        session.get_one(ShareRow, share["id"]).expires_at += 100
    assert look(api, good).status_code == 200
    revoked = api.client.delete(f"/v1/shares/{share['id']}").json()
    assert (revoked["state"], revoked["revoked_at"] is not None) == ("revoked", True)
    answers |= {(r.status_code, r.text) for r in (expired, look(api, good))}
    assert len(answers) == 1
    [(status, text)] = answers
    assert (status, "This link does not work" in text) == (404, True)
    assert api.client.delete(f"/v1/shares/{share['id']}").json() == revoked  # for good
    assert look(api, wrong[-1]).status_code == 400


def test_a_link_of_a_deleted_job_does_not_work_until_it_is_restored(
    api: Api, shown: Shown, share: dict[str, Any]
) -> None:
    path = f"/v1/jobs/{shown.jobs['succeeded']}"
    assert api.client.delete(path).status_code == 204
    assert look(api, share["url"]).status_code == 404
    api.client.post(f"{path}/restore")
    assert look(api, share["url"]).status_code == 200


def test_only_a_hash_of_the_secret_is_stored_and_no_answer_repeats_it(
    api: Api, share: dict[str, Any]
) -> None:
    secret = share["url"].split("_", 2)[2]
    with api.sessions() as session:
        row = session.get_one(ShareRow, share["id"])
        assert row.secret_sha256 == hashlib.sha256(secret.encode()).hexdigest()
        assert secret not in repr(session.execute(select(ShareRow.__table__)).all())
    listed = api.client.get("/v1/shares")
    assert share["id"] in listed.text
    assert secret not in listed.text
    assert row.created_by is not None
    line = redact(f"GET {share['url']} 200")
    assert line == f"GET /shared/{share['id']}_[redacted] 200"


def test_creating_viewing_and_revoking_are_logged(api: Api, shown: Shown) -> None:
    with capture_logs() as logs:
        made = api.client.post("/v1/shares", json={"job": shown.jobs["succeeded"]}).json()
        look(api, made["url"])
        api.client.delete(f"/v1/shares/{made['id']}")
    events = [line for line in logs if line["event"].startswith("share.")]
    assert [line["event"] for line in events] == ["share.created", "share.viewed", "share.revoked"]
    assert {line["share"] for line in events} == {made["id"]}
    assert {line["job_id"] for line in events} == {shown.jobs["succeeded"]}
    assert all("key_id" in line for line in (events[0], events[2]))


def test_what_cannot_be_shared_is_refused(api: Api, shown: Shown) -> None:
    post = api.client.post
    running = post("/v1/shares", json={"job": shown.jobs["running"]})
    assert (running.status_code, "no report.html" in running.text) == (409, True)
    job = {"job": shown.jobs["succeeded"]}
    too_long = post("/v1/shares", json={**job, "expires_in_days": 31})
    assert (too_long.status_code, "at most 30" in too_long.text) == (422, True)
    for days in (0, -1, 1e9):
        assert post("/v1/shares", json={**job, "expires_in_days": days}).status_code == 422
    other = api.other_tenant()
    assert post("/v1/shares", json=job, headers=other).status_code == 404
    assert api.client.get("/v1/shares", headers=other).json()["data"] == []


def test_a_link_goes_with_its_job(api: Api, shown: Shown) -> None:
    job = shown.jobs["cancelled"]
    add_report(api.context, job)
    made = api.client.post("/v1/shares", json={"job": job}).json()
    api.client.delete(f"/v1/jobs/{job}")
    with api.sessions.begin() as session:
        session.get_one(JobRow, job).deleted_at = 1.0
    assert remove_old(api.sessions, RetentionSettings()).num_deleted_jobs == 1
    with api.sessions() as session:
        assert session.get(ShareRow, made["id"]) is None
    assert look(api, made["url"]).status_code == 404


def test_links_and_guesses_have_limits(tmp_path: Path) -> None:
    limits = {"views_per_second": 2, "wrong_per_minute": 3, "most_per_job": 2}
    with running_api(tmp_path / "data", shares=limits) as api:
        job = fill(api.sessions).jobs["succeeded"]
        add_report(api.context, job)
        urls = [api.client.post("/v1/shares", json={"job": job}).json()["url"] for _ in range(2)]
        third = api.client.post("/v1/shares", json={"job": job})
        assert (third.status_code, "has 2 links" in third.text) == (409, True)
        statuses = [look(api, urls[0]).status_code for _ in range(4)]
        assert statuses[:2] == [200, 200]
        assert 429 in statuses
        assert look(api, urls[1]).status_code == 200  # each link has its own rate
        assert [look(api, "/shared/x").status_code for _ in range(4)] == [404, 404, 404, 429]
        assert look(api, urls[1]).status_code == 200  # its readers may share the guesser's address
        refused = look(api, f"{urls[1][:-1]}-")
        assert (refused.status_code, "retry-after" in refused.headers) == (429, True)
        assert "3 wrong links" in refused.json()["detail"]


def test_an_operator_can_turn_links_off(tmp_path: Path) -> None:
    with running_api(tmp_path / "data") as api:
        job = fill(api.sessions).jobs["succeeded"]
        add_report(api.context, job)
        url = api.client.post("/v1/shares", json={"job": job}).json()["url"]
        assert look(api, url).status_code == 200
    with running_api(tmp_path / "data", shares={"are_allowed": False}) as api:
        assert look(api, url).status_code == 404
        assert api.client.post("/v1/shares", json={"job": job}).status_code == 403

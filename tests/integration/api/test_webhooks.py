"""Webhooks over HTTP: refusals, and secrets that are never shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.records.tables import JobRow
from tests.fixtures.api import Api, running_api, zip_bytes

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # the published example
HOOK = {"url": "https://example.com/hook", "secret": SECRET}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path / "data") as found:
        yield found


def upload(api: Api) -> str:
    return str(api.client.post("/v1/models", content=zip_bytes()).json()["id"])


def test_the_job_shows_its_webhook_without_the_secret(api: Api) -> None:
    body = {"model": upload(api), "webhook": {**HOOK, "events": ["job.running"]}}
    headers = {"Idempotency-Key": "k"}
    created = api.client.post("/v1/jobs", json=body, headers=headers)
    assert created.status_code == 202
    job = created.json()
    assert job["webhook"] == {"url": "https://example.com/hook", "events": ["job.running"]}
    answers = [created, api.client.post("/v1/jobs", json=body, headers=headers)]
    paths = ("", f"/{job['id']}", f"/{job['id']}/events", f"/{job['id']}/artifacts")
    answers += [api.client.get(f"/v1/jobs{path}") for path in paths]
    answers += [api.client.post(f"/v1/jobs/{job['id']}/cancel")]
    for answer in answers:
        assert answer.is_success
        assert SECRET[6:] not in answer.text
    with api.sessions() as session:
        stored = session.get_one(JobRow, job["id"]).webhook
    assert stored == {**HOOK, "events": ["job.running"]}


def test_a_job_without_a_webhook_says_so(api: Api) -> None:
    job = api.client.post("/v1/jobs", json={"model": upload(api)}).json()
    assert job["webhook"] is None


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"url": "http://example.com/hook"}, "/webhook/url"),
        ({"url": "https://user:pass@example.com/"}, "/webhook/url"),
        ({"url": "https://127.0.0.1/"}, "/webhook/url"),
        ({"url": "https://169.254.169.254/latest/meta-data"}, "/webhook/url"),
        ({"url": "https://[::1]/"}, "/webhook/url"),
        ({"url": "https://0x7f000001/"}, "/webhook/url"),
        ({"url": "nonsense"}, "/webhook/url"),
        ({"secret": SECRET[:-4]}, "/webhook/secret"),
        ({"secret": "whsec_" + "*" * 32}, "/webhook/secret"),
        ({"events": ["job.succeeded", "job.exploded"]}, "/webhook/events/1"),
    ],
)
def test_a_bad_webhook_is_refused_with_a_pointer_and_makes_no_job(
    changes: dict[str, object], pointer: str, api: Api
) -> None:
    webhook = {**HOOK, **changes}
    response = api.client.post("/v1/jobs", json={"model": upload(api), "webhook": webhook})
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == pointer
    assert str(webhook["secret"])[6:] not in response.text
    assert api.client.get("/v1/jobs").json()["data"] == []


def test_a_secret_is_needed(api: Api) -> None:
    body = {"model": upload(api), "webhook": {"url": HOOK["url"]}}
    response = api.client.post("/v1/jobs", json=body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/webhook/secret"


def test_private_addresses_are_accepted_where_the_operator_says_so(tmp_path: Path) -> None:
    with running_api(tmp_path / "in", webhooks={"are_private_addresses_allowed": True}) as api:
        webhook = {**HOOK, "url": "https://10.1.2.3:8443/"}
        response = api.client.post("/v1/jobs", json={"model": upload(api), "webhook": webhook})
        assert response.status_code == 202

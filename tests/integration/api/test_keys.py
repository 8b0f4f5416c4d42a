"""Keys over HTTP: administrators create and revoke keys that may do no more than their own."""

from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.contracts.errors import ForbiddenError, UnauthenticatedError
from app.keys.service import Principal, authenticate, create_key, grant_key
from app.records.database import current_time
from app.records.tables import ApiKeyRow
from tests.fixtures.api import Api, running_api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("keys") / "data"
    with running_api(folder, quotas={"keys": 12}) as found:
        yield found


def post(api: Api, *scopes: str, key: str | None = None, **fields: Any) -> Any:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    body = {"name": "Ada", "scopes": scopes, **fields}
    return api.client.post("/v1/keys", json=body, headers=headers)


def models(api: Api, key: str) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    return int(api.client.get("/v1/models", headers=headers).status_code)


def test_a_colleague_gets_a_key_and_loses_it(api: Api) -> None:
    response = post(api, "models:read", expires_in_days=1)
    assert response.status_code == 201, response.text
    assert response.headers["cache-control"] == "no-store"
    made = response.json()
    assert models(api, made["key"]) == 200
    assert post(api, "models:read", key=made["key"]).status_code == 403  # no administrator
    listed = api.client.get("/v1/keys").json()["data"]
    assert [(each["name"], each["is_own"]) for each in listed] == [("Ada", False), ("test", True)]
    assert made["key"].rpartition("_")[2] not in str(listed)
    revoked = api.client.delete(f"/v1/keys/{made['id']}").json()
    assert revoked["state"] == "revoked"
    with pytest.raises(UnauthenticatedError):  # API processes remember it for a second
        authenticate(api.sessions, made["key"])
    assert api.client.delete(f"/v1/keys/{made['id']}").json() == revoked


def test_a_key_grants_no_more_than_it_has_and_lives_no_longer(api: Api) -> None:
    refused = post(api, "infer", "operator")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert "'operator'" in refused.json()["detail"]
    _, short = create_key(api.sessions, "default", "short", ["admin"], 3600)
    for days in (None, 30):
        made = post(api, "admin", key=short, expires_in_days=days).json()
        with api.sessions() as session:
            row = session.get_one(ApiKeyRow, made["id"])
            assert row.expires_at is not None
            assert row.expires_at <= current_time(session) + 3600


def test_a_key_revokes_neither_itself_nor_a_stronger_one(api: Api) -> None:
    own = next(key for key in api.client.get("/v1/keys").json()["data"] if key["is_own"])
    assert api.client.delete(f"/v1/keys/{own['id']}").status_code == 409
    stronger, _ = create_key(api.sessions, "default", "owner", ["admin", "operator"])
    assert api.client.delete(f"/v1/keys/{stronger.id}").status_code == 403


def test_a_revoked_key_that_is_still_remembered_changes_no_keys(api: Api) -> None:
    other, _ = create_key(api.sessions, "default", "other", ["infer"])
    for is_revoked in (False, True):
        stolen, plaintext = create_key(api.sessions, "default", "stolen", ["admin"])
        assert models(api, plaintext) == 200  # now the process remembers the key
        with api.sessions.begin() as session:
            row = session.get_one(ApiKeyRow, stolen.id)
            now = current_time(session)
            row.revoked_at, row.expires_at = (now, None) if is_revoked else (None, now)
        assert models(api, plaintext) == 200
        headers = {"Authorization": f"Bearer {plaintext}"}
        assert post(api, "infer", key=plaintext).status_code == 401
        assert api.client.delete(f"/v1/keys/{other.id}", headers=headers).status_code == 401


def test_keys_of_a_revoked_key_stay_valid_until_they_are_revoked(api: Api) -> None:
    """As SECURITY.md and docs/operations.md say: who created what is in the log."""
    maker, plaintext = create_key(api.sessions, "default", "leaving", ["admin"])
    with capture_logs() as entries:
        made = post(api, "models:read", key=plaintext).json()
    logged = [entry for entry in entries if entry["event"] == "key.created"]
    assert [(entry["created"], entry["key_id"]) for entry in logged] == [(made["id"], maker.id)]
    assert api.client.delete(f"/v1/keys/{maker.id}").json()["state"] == "revoked"
    assert authenticate(api.sessions, made["key"])[0].id == made["id"]


def test_keys_that_are_created_and_revoked_count_for_a_day(api: Api) -> None:
    for _ in range(20):
        made = post(api, "infer")
        if made.status_code != 201:
            break
        api.client.delete(f"/v1/keys/{made.json()['id']}")
    assert made.status_code == 409
    assert "has 12 keys" in made.json()["detail"]
    assert "at most 12" in made.json()["detail"]


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"scopes": []},
        {"scopes": ["everything"]},
        {"expires_in_days": 0},
        {"expires_in_days": 1e9},
        {"tenant": "other"},
    ],
)
def test_invalid_keys_are_refused(api: Api, fields: dict[str, Any]) -> None:
    body = {"name": "Ada", "scopes": ["infer"], **fields}
    assert api.client.post("/v1/keys", json=body).status_code == 422


def test_without_authentication_no_key_is_made(api: Api) -> None:
    anybody = Principal("default", frozenset({"admin"}))
    with pytest.raises(ForbiddenError, match="IS_AUTH_REQUIRED"):
        grant_key(
            api.sessions,
            anybody,
            name="Ada",
            scopes=["infer"],
            expires_in_seconds=None,
            most_keys=1000,
        )

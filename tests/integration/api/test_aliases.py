"""Aliases over HTTP: their target is served and cannot be deleted."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.fixtures.api import Api, running_api
from tests.fixtures.serving import add_model, scaled

URL = "/v1/models/net/aliases/production"


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path / "data") as found:
        for factor in (1.0, 2.0):
            path = tmp_path / f"{factor}.onnx"
            path.write_bytes(scaled(factor).SerializeToString())
            add_model(found.context, "net", found.store.put_file(path))
        yield found


def put(api: Api, *targets: dict[str, object], **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    response: httpx.Response = api.client.put(URL, json={"targets": targets}, headers=sent)
    return response


def served(api: Api, segment: str, request_id: str | None = None) -> float:
    """Return the factor of the version behind a path segment."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 1]}
    body = {"inputs": [tensor]} if request_id is None else {"inputs": [tensor], "id": request_id}
    response = api.client.post(f"/v2/models/net/versions/{segment}/infer", json=body)
    assert response.status_code == 200, response.text
    return float(response.json()["outputs"][0]["data"][0])


def test_a_switch_is_served_at_once_and_rolled_back_at_once(api: Api) -> None:
    first = put(api, {"version": "1"})
    assert first.status_code == 201
    assert served(api, "production") == 1
    assert put(api, {"version": "2"}).status_code == 428
    second = put(api, {"version": "2"}, if_match=first.headers["etag"])
    assert second.status_code == 200
    assert served(api, "production") == 2
    stale = put(api, {"version": "1"}, if_match=first.headers["etag"])
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert put(api, {"version": "1"}, if_none_match="*").status_code == 412
    read = api.client.get(URL)
    assert read.headers["etag"] == second.headers["etag"]
    assert read.json() == second.json()
    assert read.json()["history"][0]["targets"] == [{"version": "1", "weight": 1}]
    headers = {"If-Match": read.headers["etag"]}
    assert api.client.post(f"{URL}/rollback", headers=headers).status_code == 200
    assert served(api, "production") == 1


def test_an_alias_is_a_model_for_infer_too(api: Api) -> None:
    put(api, {"version": "1"})
    for reference, factor in (("net@production", 1), ("net@2", 2), ("net", 2)):
        body = {"model": reference, "inputs": [[1, 1]]}
        assert api.client.post("/infer", json=body).json()["outputs"] == [[factor, factor]]
    missing = {"model": "net@nope", "inputs": [[1, 1]]}
    assert api.client.post("/infer", json=missing).status_code == 404


def test_a_canary_serves_both_and_the_same_request_always_the_same(api: Api) -> None:
    put(api, {"version": "2", "weight": 1}, {"version": "1", "weight": 1})
    by_id = {str(n): served(api, "production", str(n)) for n in range(20)}
    assert set(by_id.values()) == {1.0, 2.0}
    assert by_id == {n: served(api, "production", n) for n in by_id}
    metadata = api.client.get("/v2/models/net/versions/production").json()
    assert metadata["versions"] == ["2", "1"]


def test_the_target_of_an_alias_can_be_neither_deleted_nor_renamed(api: Api) -> None:
    put(api, {"version": "1"})
    rows = api.client.get("/v1/models").json()["data"]
    url = {row["version"]: f"/v1/models/{row['id']}" for row in rows}
    response = api.client.delete(url["1"])
    assert response.status_code == 409
    assert "'production'" in response.json()["detail"]
    assert api.client.patch(url["1"], json={"name": "other"}).status_code == 409
    assert api.client.patch(url["1"], json={"metadata": {"a": "b"}}).status_code == 200
    assert api.client.delete(url["2"]).status_code == 204
    assert api.client.delete(URL).status_code == 428
    assert api.client.delete(URL, headers={"If-Match": "*"}).status_code == 204
    assert api.client.delete(url["1"]).status_code == 204
    assert api.client.get("/v1/models/net/aliases").status_code == 404


@pytest.mark.parametrize(
    "targets",
    [
        [],
        [{"version": "0"}],
        [{"version": "1x"}],
        [{"version": "1", "weight": 0}],
        [{"version": "1", "weight": 1_000_001}],
        [{"version": "1"}, {"version": "1"}],
        [{"version": str(n)} for n in range(1, 18)],
        [{"version": "1", "more": 1}],
    ],
)
def test_invalid_alias_targets_are_refused(api: Api, targets: list[dict[str, object]]) -> None:
    assert put(api, *targets).status_code == 422


def test_an_alias_is_not_a_number_and_needs_an_existing_version(api: Api) -> None:
    body = {"targets": [{"version": "1"}]}
    for alias in ("1", "-a", "a" * 64, "ä"):
        assert api.client.put(f"/v1/models/net/aliases/{alias}", json=body).status_code == 422
    assert api.client.put(f"/v1/models/net/aliases/{'a' * 63}", json=body).status_code == 201
    assert api.client.put("/v1/models/nope/aliases/a", json=body).status_code == 404
    assert put(api, {"version": "3"}).status_code == 409


def test_aliases_are_listed_and_belong_to_their_tenant(api: Api) -> None:
    put(api, {"version": "1"})
    api.client.put("/v1/models/net/aliases/canary", json={"targets": [{"version": "2"}]})
    listed = api.client.get("/v1/models/net/aliases").json()["data"]
    assert [alias["alias"] for alias in listed] == ["canary", "production"]
    other = api.other_tenant()
    body = {"targets": [{"version": "1"}]}
    assert api.client.get("/v1/models/net/aliases", headers=other).status_code == 404
    assert api.client.get(URL, headers=other).status_code == 404
    assert api.client.put(URL, json=body, headers=other).status_code == 404
    asked = {**other, "If-Match": "*"}
    assert api.client.delete(URL, headers=asked).status_code == 404
    assert api.client.post(f"{URL}/rollback", headers=asked).status_code == 404
    assert api.client.get(URL).status_code == 200

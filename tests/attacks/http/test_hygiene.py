"""Headers and contents that every answer has, and details that no answer reveals."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.http.headers import attachment
from app.web.reference_page import draw_reference
from tests.fixtures.api import Api, running_api, zip_bytes

SECRET = "postgresql://user:hunter2@db/secateur"  # noqa: S105  # what an exception may say


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("api") / "data") as found:
        yield found


def answers(api: Api) -> list[Any]:
    """Return one answer of each kind."""
    client = api.client
    return [
        client.get("/healthz"),
        client.get("/openapi.json"),
        client.get("/v1/models"),
        client.post("/v1/models", content=zip_bytes()),
        client.post("/v1/models", content=b"x"),
        client.get("/v1/models/mdl_0"),
        client.get("/nowhere"),
        client.put("/v1/models"),
        client.get("/v1/models", headers={"Authorization": ""}),
        client.get("/v1/models?limit=0"),
        client.get("/" + "a" * 10_000),
        client.post("/v1/jobs", content=b"{", headers={"Content-Type": "application/json"}),
        client.options("/v1/models", headers={"Origin": "https://evil.example"}),
    ]


def test_every_answer_carries_the_common_headers(api: Api) -> None:
    found = answers(api)
    assert {answer.status_code for answer in found} >= {200, 201, 401, 404, 405, 414, 415, 422}
    for answer in found:
        headers = answer.headers
        assert headers["x-request-id"].startswith("req_")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "private, no-cache"
        assert not {"server", "x-powered-by", "access-control-allow-origin"} & set(headers)


def test_the_reference_of_the_api_loads_only_our_own_files(api: Api) -> None:
    dashboard = api.client.get("/").headers["content-security-policy"]
    assert "http" not in dashboard
    assert "unsafe-inline" not in dashboard
    for path in ("/docs", "/redoc"):
        page = api.client.get(path)
        assert page.headers["content-security-policy"] == dashboard
        loaded = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]*)"', page.text)
        assert len(loaded) == page.text.count("<script") + page.text.count("<link") > 3
        for url in loaded:
            assert api.client.get(url, headers={"Authorization": ""}).status_code == 200, url
        assert not re.search(r"<style| style=| on\w+=", page.text)


def test_the_reference_of_the_api_describes_every_operation(api: Api) -> None:
    page = api.client.get("/docs").text
    document = api.client.get("/openapi.json").json()
    for path, item in document["paths"].items():
        for method in item:
            assert f"<b>{method.upper()}</b> {path}<" in page
    links = set(re.findall(r'href="#([^"]+)"', page))
    assert len(links) > 20
    assert links <= set(re.findall(r'id="([^"]+)"', page))


def test_names_in_the_reference_are_text() -> None:
    evil = "<script>alert(1)</script>"
    operation = {
        "operationId": evil,
        "description": evil,
        "tags": [evil],
        "parameters": [
            {"name": evil, "in": "query", "description": evil, "schema": {"enum": [evil]}}
        ],
        "responses": {evil: {"description": evil, "content": {evil: {"schema": {"type": evil}}}}},
    }
    document = {
        "info": {"title": evil, "version": evil, "description": evil},
        "paths": {f"/{evil}": {"get": operation}},
        "components": {"schemas": {evil: {"description": evil, "default": evil}}},
    }
    page = draw_reference(document, "digest")
    assert page.count("<script") == 1
    assert page.count("&lt;script") > 10


def test_internal_errors_reveal_only_a_request_id(tmp_path: Path) -> None:
    with running_api(tmp_path / "data") as api:
        app = api.client.app
        assert isinstance(app, FastAPI)

        @app.get("/broken")
        def broken() -> None:
            raise RuntimeError(f"cannot connect to {SECRET}")

        client = TestClient(app)  # which raises what the application lets through
        answer = client.get("/broken", headers={"Authorization": f"Bearer {api.key}"})
    assert answer.status_code == 500
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "an internal error occurred; report the request id to the operator",
        "instance": "/broken",
        "code": "internal",
        "request_id": answer.headers["x-request-id"],
        "errors": [],
    }


def test_other_origins_are_let_in_by_name(tmp_path: Path) -> None:
    ours, evil = {"Origin": "https://ours.example"}, {"Origin": "https://evil.example"}
    preflight = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    with running_api(tmp_path / "data", api={"cors_origins": ["https://ours.example"]}) as api:
        allowed = api.client.get("/healthz", headers=ours).headers
        assert allowed["access-control-allow-origin"] == "https://ours.example"
        assert "access-control-allow-credentials" not in allowed
        assert api.client.options("/v1/jobs", headers=ours | preflight).status_code == 200
        assert "access-control-allow-origin" not in api.client.get("/", headers=evil).headers
        assert api.client.options("/v1/jobs", headers=evil | preflight).status_code == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [("ours.example", 200), ("OURS.example:8000", 200), ("evil.example", 421), ("[::1]:1", 421)],
)
def test_hosts_are_trusted_by_name(host: str, status: int, tmp_path: Path) -> None:
    with running_api(tmp_path / "data", api={"trusted_hosts": ["Ours.example"]}) as api:
        assert api.client.get("/healthz", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost:8000", 200), ("127.0.0.1", 200), ("[::1]:8000", 200), ("rebound.example", 421)],
)
def test_without_keys_no_other_name_is_answered(host: str, status: int, tmp_path: Path) -> None:
    with running_api(tmp_path / "data", api={"is_auth_required": False}) as api:
        assert api.client.get("/healthz", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    "name", ["plan.json", 'a"b\\c.json', "weißer Hai.onnx", "a\r\nSet-Cookie: b", "50%.txt", "'x'"]
)
def test_a_download_is_named_safely(name: str) -> None:
    header = attachment(name)
    assert header.isascii()
    assert header.isprintable()
    plain, _, extended = header.removeprefix('attachment; filename="').partition(
        "\"; filename*=UTF-8''"
    )
    assert not set(plain) & set('"\\%\r\n')
    assert unquote(extended) == name
    assert "'" not in extended

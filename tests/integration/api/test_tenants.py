"""Every route of the app with another tenant's key, no key, and a key without the scope.

The routes are those of the app's own table (`tests.fixtures.tenants`), so a new one fails here
until somebody says what is sent to it.
"""

import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from sqlalchemy import select

from app.keys.scopes import SCOPES, Scope
from app.records.tables import Base
from app.web.assets import load_assets
from tests.fixtures.api import zip_bytes
from tests.fixtures.tenants import (
    OPEN,
    OPERATED,
    OTHER,
    OWNER,
    SENT,
    Sent,
    World,
    is_open,
    is_operated,
    list_routes,
    refuse_unknown,
    running_world,
)

ROUTES = list_routes()
GUARDED = [route for route in ROUTES if not is_open(route) and not is_operated(route)]
FOR_OPERATORS = [route for route in ROUTES if is_operated(route)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("tenants") / "world") as found:
        yield found


@pytest.fixture
def wanted(world: World, route: str) -> str:
    """Return the scope that a route requires, as documented."""
    response = world.ask(route, world.key(OWNER))
    assert response.status_code == 403, response.text
    if route.startswith("HEAD "):
        route = route.replace("HEAD ", "GET ")
        response = world.ask(route, world.key(OWNER))
    (scope,) = re.findall(r"lacks the scope '([a-z:]+)'", response.text)
    assert scope in set(SCOPES) - {"operator"}
    return str(scope)


def names(things: dict[str, str]) -> dict[str, str]:
    """Return the names that an answer cannot contain by chance."""
    return {name: value for name, value in things.items() if not value.isdigit()}


def without_names(response: Any, things: dict[str, str]) -> Any:
    text = response.text
    for name, value in names(things).items():
        text = text.replace(value, name)
    headers = {k: v for k, v in response.headers.items() if k != "x-request-id"}
    return response.status_code, re.sub(r"req_\w{26}", "", text), headers


def owned(world: World) -> list[Any]:
    """Return every row of the owner's but its keys, whose use is written down."""
    found: list[Any] = []
    with world.api.sessions() as session:
        for name, table in Base.metadata.tables.items():
            if "tenant" in table.columns and name != "api_key":
                query = select(table).where(table.c.tenant == OWNER).order_by(*table.primary_key)
                found += map(repr, session.execute(query).all())
    return found


def test_the_tables_of_this_test_name_routes_that_exist() -> None:
    assert not set(SENT) - set(ROUTES)
    assert not set(OPEN) - set(ROUTES)
    assert not OPERATED - set(ROUTES)
    assert set(get_args(Scope)) == set(SCOPES)


@pytest.mark.parametrize("route", GUARDED)
def test_a_route_is_known_here(world: World, route: str) -> None:
    refuse_unknown(route, world.things)


@pytest.mark.parametrize("route", [route for route in ROUTES if is_open(route)])
def test_an_open_route_needs_no_key(world: World, route: str) -> None:
    files = {"digest": load_assets().digest, "file": "app.js"}
    response = world.ask(route, None, world.things | files | {"name": "config"})
    assert response.status_code == 200


@pytest.mark.parametrize("route", GUARDED)
def test_requests_without_a_key_are_refused(world: World, route: str) -> None:
    assert world.ask(route, None).status_code == 401
    assert world.ask(route, world.api.key[:-1]).status_code == 401


@pytest.mark.parametrize("route", GUARDED)
def test_a_request_needs_its_own_scope(world: World, route: str, wanted: str) -> None:
    others = set(SCOPES) - {wanted, "admin"}
    response = world.ask(route, world.key(OWNER, *others))
    assert response.status_code == 403, response.text


@pytest.mark.parametrize("route", FOR_OPERATORS)
def test_a_route_of_operators_needs_their_scope_which_no_other_includes(
    world: World, route: str
) -> None:
    things = {"worker": "host:1", "queue": "gpu", "lever": "pause"}
    assert world.ask(route, None, things).status_code == 401
    everything = set(SCOPES) - {"operator"}
    for worker_lever in ("pause", "cordon"):
        response = world.ask(route, world.key(OWNER, *everything), things | {"lever": worker_lever})
        if response.status_code == 422:  # a lever of the other kind
            continue
        assert response.status_code == 403
        assert "lacks the scope 'operator'" in response.text


@pytest.mark.parametrize("route", GUARDED)
def test_other_tenants_get_the_same_answer_as_for_a_missing_resource(
    world: World, route: str, wanted: str
) -> None:
    before = owned(world)
    key = world.key(OTHER, wanted, *SENT.get(route, Sent()).also)
    response = world.ask(route, key)
    if SENT.get(route, Sent()).is_about_own:
        assert response.is_success, response.text
        assert not [value for value in names(world.things).values() if value in response.text]
    else:
        missing = world.missing_things()
        nothing = without_names(world.ask(route, key, missing), missing)
        assert response.status_code == 404, response.text
        assert without_names(response, world.things) == nothing
    assert owned(world) == before


@pytest.mark.parametrize("route", [route for route in GUARDED if "{model}" in route])
def test_the_id_of_a_model_is_no_other_way_in(world: World, route: str, wanted: str) -> None:
    things = world.things | {"model": world.things["model_id"]}
    assert world.ask(route, world.key(OTHER, wanted), things).status_code == 404


@pytest.mark.parametrize("route", [r for r in GUARDED if r.startswith(("GET ", "HEAD "))])
def test_the_owner_does_read_it(world: World, route: str, wanted: str) -> None:
    response = world.ask(route, world.key(OWNER, wanted))
    assert response.is_success or response.status_code == 409, response.text  # nothing to draw yet


def test_an_idempotency_key_is_the_tenants_own(world: World) -> None:
    answers = []
    for tenant in (OWNER, OTHER):
        headers = {
            "Idempotency-Key": "the-same",
            "Authorization": f"Bearer {world.key(tenant, 'admin')}",
        }
        answers.append(world.api.client.post("/v1/models", content=zip_bytes(), headers=headers))
    first, second = (answer.json()["id"] for answer in answers)
    assert first != second


def test_a_duplicate_upload_reveals_nothing_about_the_first_uploader(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.key(OTHER, 'admin')}"}
    client = world.api.client
    theirs = client.get(f"/v1/models/{world.things['model_id']}").json()
    response = client.post("/v1/models?name=mine", content=zip_bytes(), headers=headers)
    mine = response.json()
    assert mine["sha256"] == theirs["sha256"]
    assert (mine["status"], theirs["status"]) == ("validating", "ready")
    assert client.get(f"{mine['urls']['report']}", headers=headers).status_code == 409
    assert not [value for value in names(world.things).values() if value in response.text]


def test_to_know_a_hash_is_not_to_have_the_object(world: World) -> None:
    client, artifact = world.api.client, world.things["artifact_id"]
    url = f"/v1/artifacts/{artifact}/content"
    etag = client.get(url).headers["etag"]
    headers = {"Authorization": f"Bearer {world.key(OTHER, 'admin')}"}
    for condition in ({"If-None-Match": etag}, {"If-Range": etag, "Range": "bytes=0-1"}):
        assert client.get(url, headers=headers | condition).status_code == 404
    digest = etag.strip('"').removeprefix("sha256-")
    for path in (f"/v1/artifacts/{digest}/content", f"/v1/models/{digest}"):
        assert client.get(path, headers=headers).status_code == 404


def test_a_cursor_of_another_tenant_works_only_as_a_time(world: World) -> None:
    headers = {"Authorization": f"Bearer {world.key('third', 'admin')}"}
    client = world.api.client

    def post(tenant_headers: dict[str, str]) -> str:
        response = client.post("/v1/models", content=zip_bytes(), headers=tenant_headers)
        return str(response.json()["id"])

    older, theirs, newer = post(headers), post({}), post(headers)
    for after, order, expected in (
        (theirs, "desc", [older]),
        (theirs, "asc", [newer]),
        (older, "desc", []),
    ):
        params = {"after": after, "order": order}
        page = client.get("/v1/models", params=params, headers=headers).json()
        assert [item["id"] for item in page["data"]] == expected


def test_a_form_that_uploads_needs_the_scopes_of_uploads(world: World) -> None:
    client, files = world.api.client, {"model": ("net.pt2", zip_bytes())}
    for scopes, status in (
        (["jobs:write"], 403),
        (["jobs:write", "models:write"], 403),
        (["jobs:write", "models:write", "datasets:write"], 202),
    ):
        headers = {"Authorization": f"Bearer {world.key(OTHER, *scopes)}"}
        response = client.post("/v1/jobs", files=files, headers=headers)
        assert response.status_code == status, response.text

"""The dashboard's files as the API serves them; `tests/e2e/browser` tests their behaviour."""

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.web.assets import load_assets
from tests.fixtures.api import Api, running_api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("dashboard") / "data") as found:
        found.client.headers.pop("authorization")
        yield found


def test_the_page_names_files_that_are_there(api: Api) -> None:
    page = api.client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    links = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert len(links) > 30
    for link in links:
        assert link.startswith(f"/static/{load_assets().digest}/")
        assert api.client.get(link).status_code == 200, link
    assert "{{" not in page.text


def test_a_browser_at_an_unknown_address_gets_a_page_with_links(api: Api) -> None:
    browser = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    page = api.client.get("/no<b>where", headers=browser)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert "no page at <code>/no&lt;b&gt;where</code>" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    for link in re.findall(r'(?:href|src)="([^"]+)"', page.text):
        assert api.client.get(link).status_code == 200, link


def test_the_address_of_a_page_without_its_hash_leads_to_that_page(api: Api) -> None:
    browser = {"accept": "text/html"}
    moved = api.client.get("/jobs/job_1%0d?x=//evil", headers=browser, follow_redirects=False)
    assert moved.status_code == 400  # a control character
    moved = api.client.get("/jobs/job_1", headers=browser, follow_redirects=False)
    assert (moved.status_code, moved.headers["location"]) == (307, "/#/jobs/job_1")


def test_programs_and_paths_of_the_api_get_problems(api: Api) -> None:
    browser = {"accept": "text/html"}
    for path, headers, status in (
        ("/nowhere", {}, 401),
        ("/v1/nowhere", browser, 401),
        ("/metrics", browser, 401),
        ("/healthz", browser, 200),
    ):
        response = api.client.get(path, headers=headers)
        assert response.status_code == status, path
        assert "html" not in response.headers["content-type"], path


def test_every_module_is_loaded_from_the_start(api: Api) -> None:
    page = api.client.get("/").text
    for name in set(load_assets().files) - {"css/reference.css"}:  # of /docs
        assert f"/{name}" in page, name


def test_the_page_lets_only_our_own_files_run(api: Api) -> None:
    page = api.client.get("/")
    policy = dict(
        directive.strip().split(" ", 1)
        for directive in page.headers["content-security-policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert not re.search(r"<script>|<style|style=|\son\w+=|https?://", page.text)
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["referrer-policy"] == "no-referrer"


def test_no_script_builds_markup_from_text_or_calls_other_hosts() -> None:
    for name, asset in load_assets().files.items():
        text = asset.data.decode()
        if not name.startswith("vendor/"):
            assert not re.search(
                r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|(?<!\.)\beval\(", text
            ), name
            allowed = {"http://www.w3.org/2000/svg"}
            assert set(re.findall(r"https?://[^\s\"'`)]+", text)) <= allowed, name


def test_a_file_may_be_kept_for_ever_and_the_page_is_asked_for_again(api: Api) -> None:
    page = api.client.get("/")
    assert page.headers["cache-control"] == "no-cache"
    file = api.client.get(f"/static/{load_assets().digest}/app.js")
    assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
    for response in (page, file):
        etag = response.headers["etag"]
        again = api.client.get(response.request.url.path, headers={"If-None-Match": etag})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
        other = api.client.get(response.request.url.path, headers={"If-None-Match": '"other"'})
        assert other.status_code == 200


def test_files_are_compressed_for_clients_that_accept_it(api: Api) -> None:
    path = f"/static/{load_assets().digest}/css/base.css"
    plain = api.client.get(path, headers={"Accept-Encoding": "identity"})
    packed = api.client.get(path, headers={"Accept-Encoding": "br, gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == plain.content  # the client has unpacked it
    assert packed.headers["etag"] != plain.headers["etag"]
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    asset = load_assets().files["css/base.css"]
    assert gzip.decompress(asset.compressed) == asset.data == plain.content


@pytest.mark.parametrize(
    "path",
    [
        "/static/{digest}/nothing.js",
        "/static/0000000000000000/app.js",
        "/static/{digest}/../assets.py",
        "/static/{digest}/%2e%2e/assets.py",
        "/static/{digest}/vendor/uPlot.LICENSE",
        "/static/{digest}/",
    ],
)
def test_nothing_else_is_served(api: Api, path: str) -> None:
    response = api.client.get(path.format(digest=load_assets().digest))
    assert response.status_code in {401, 404}  # what is not declared open needs a key
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")


def test_head_requests_are_answered(api: Api) -> None:
    response = api.client.head("/")
    assert response.status_code == 200
    assert response.headers["etag"] == api.client.get("/").headers["etag"]


def test_licences_are_beside_what_they_are_for() -> None:
    folder = Path(__file__).parents[3] / "app" / "web" / "static" / "vendor"
    assert "Copyright" in (folder / "uPlot.LICENSE").read_text()

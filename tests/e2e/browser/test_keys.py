"""The API key in the browser: entry, storage, and what it is never sent to."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from app.keys.service import create_key
from app.records.tables import ApiKeyRow
from tests.e2e.browser.conftest import OpenTab
from tests.fixtures.browser import Tab
from tests.fixtures.serving import Serving, serving
from tests.fixtures.shown import Shown, fill


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("keys") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def shown(api: Serving) -> Shown:
    return fill(api.context.sessions)


def key_of(api: Serving, *scopes: str) -> str:
    return api.key("default", *scopes)["Authorization"].removeprefix("Bearer ")


def test_the_key_in_a_link_is_removed_from_the_address_and_sent_only_to_the_api(
    api: Serving, open_tab: OpenTab
) -> None:
    base, key = f"http://{api.address}", key_of(api)
    with open_tab(base) as tab:
        tab.enter(key)
        assert tab.page.url == f"{base}/#/"
        assert tab.page.evaluate("history.length") <= 2
        tab.page.reload()
        tab.heading("Overview")
        assert tab.page.evaluate("sessionStorage.getItem('secateur.key')") == key
        assert tab.page.evaluate("JSON.stringify(localStorage)") == "{}"
        assert tab.context.cookies() == []
        tab.settle()
        for request in tab.requests:
            assert key not in request.url
            assert not request.headers.get("referer")
        asked = [request for request in tab.requests if "/v1/" in request.url]
        assert {request.headers["authorization"] for request in asked} == {f"Bearer {key}"}
        others = [request for request in tab.requests if "/v1/" not in request.url]
        assert not [request for request in others if "authorization" in request.headers]


def test_a_deep_link_may_contain_the_key(api: Serving, shown: Shown, open_tab: OpenTab) -> None:
    base = f"http://{api.address}"
    with open_tab(base) as tab:
        path = f"/jobs/{shown.jobs['succeeded']}"
        tab.page.goto(f"{base}/#key={key_of(api)}&to={path}")
        expect(tab.page.get_by_text("Proven equal")).to_be_visible()
        assert tab.page.url == f"{base}/#{path}"


def test_a_missing_or_wrong_key_opens_one_dialog(api: Serving, open_tab: OpenTab) -> None:
    base, key = f"http://{api.address}", key_of(api)
    with open_tab(base, expected=("401",), bypass_csp=True) as tab:
        page = tab.page
        page.goto(f"{base}/#/queues")
        dialog = page.get_by_role("dialog", name="API key")
        expect(dialog).to_be_visible()
        assert tab.barriers() == []
        page.keyboard.press("Escape")  # the dialog cannot be dismissed without a key
        expect(dialog).to_be_visible()
        expect(page.get_by_label("Key", exact=True)).to_be_focused()
        page.keyboard.type("sec_nonsense")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Invalid or expired API key")).to_be_visible()
        page.get_by_label("Key", exact=True).fill(f"  {key} ")
        page.get_by_role("button", name="Continue").click()
        expect(page.get_by_role("heading", name="CPU queue")).to_be_visible()
        expect(dialog).to_have_count(0)


def test_a_revoked_key_opens_the_dialog_again(api: Serving, open_tab: OpenTab) -> None:
    row, key = create_key(api.context.sessions, "default", "test", ["admin"])
    with open_tab(f"http://{api.address}", expected=("401",)) as tab:
        tab.enter(key)
        tab.go("/queues")
        with api.context.sessions.begin() as session:
            session.get_one(ApiKeyRow, row.id).revoked_at = 1.0
        expect(tab.page.get_by_text("Invalid or expired API key")).to_be_visible(timeout=20_000)
        tab.page.get_by_label("Key", exact=True).fill(key_of(api))
        tab.page.keyboard.press("Enter")
        expect(tab.page.get_by_role("heading", name="CPU queue")).to_be_visible()


def test_a_user_who_stays_signed_in_can_open_links_in_new_tabs(
    api: Serving, open_tab: OpenTab
) -> None:
    with open_tab(f"http://{api.address}", expected=("401",)) as tab:
        tab.enter(key_of(api))
        tab.page.reload()
        tab.page.get_by_label("Keep me signed in").check()
        other = tab.context.new_page()
        other.goto(f"{tab.base}/#/queues")
        expect(other.get_by_role("heading", name="CPU queue")).to_be_visible()
        expect(other.get_by_label("Keep me signed in")).to_be_checked()
        other.get_by_role("button", name="Sign out").click()
        expect(other.get_by_role("dialog", name="API key")).to_be_visible()
        assert other.evaluate("localStorage.length") == 0
        tab.page.get_by_label("Keep me signed in").check()
        tab.page.get_by_label("Keep me signed in").uncheck()
        assert tab.page.evaluate("localStorage.length") == 0


def test_signing_out_removes_the_key(api: Serving, open_tab: OpenTab) -> None:
    with open_tab(f"http://{api.address}", expected=("401",)) as tab:
        tab.enter(key_of(api))
        tab.page.reload()
        tab.page.get_by_role("button", name="Sign out").click()
        expect(tab.page.get_by_role("dialog", name="API key")).to_be_visible()
        assert tab.page.evaluate("sessionStorage.length") == 0


def test_a_missing_scope_is_named(api: Serving, open_tab: OpenTab) -> None:
    with open_tab(f"http://{api.address}", expected=("403",)) as tab:
        tab.page.goto(f"{tab.base}/#key={key_of(api, 'models:read')}&to=/queues")
        alert = tab.page.get_by_role("alert")
        expect(alert).to_contain_text("lacks the scope 'jobs:read'")
        expect(alert).to_contain_text(re.compile("Code: forbidden · Request: req_"))


def test_a_colleague_gets_a_link_that_signs_in_until_it_is_revoked(
    api: Serving, shown: Shown, open_tab: OpenTab
) -> None:
    base = f"http://{api.address}"
    with open_tab(base) as tab, open_tab(base, expected=("401", "403")) as other:
        tab.enter(key_of(api, "admin"))
        tab.page.get_by_role("link", name="Keys").click()
        tab.page.get_by_label("For whom or what").fill("Ada")
        tab.page.get_by_role("button", name="Create key").click()
        link = tab.page.get_by_label(re.compile("^Link"))
        other.page.goto(link.input_value())
        other.heading("Overview")
        other.go(f"/jobs/{shown.jobs['succeeded']}")
        other.page.get_by_role("button", name="Delete").click()
        expect(other.page.get_by_role("alert")).to_contain_text("lacks the scope 'jobs:write'")
        tab.page.get_by_role("button", name="Revoke the key of Ada").click()
        row = tab.page.get_by_role("table", name="Keys of your tenant").get_by_role("row")
        expect(row.filter(has_text="Ada")).to_contain_text("revoked")
        expect(link).to_have_count(0)
        other.page.wait_for_timeout(1100)  # API processes remember a key for a second
        other.page.reload()
        expect(other.page.get_by_role("dialog")).to_be_visible()


def test_another_tenant_sees_an_empty_dashboard(
    api: Serving, shown: Shown, open_tab: OpenTab
) -> None:
    key = api.key("other")["Authorization"].removeprefix("Bearer ")
    with open_tab(f"http://{api.address}", expected=("404",)) as tab:
        tab.enter(key)
        assert_empty(tab)
        tab.go("/queues")
        expect(tab.page.get_by_role("heading", name="CPU queue")).to_be_visible()
        assert tab.page.get_by_role("table", name=re.compile("Your jobs")).count() == 0
        tab.go(f"/jobs/{shown.jobs['succeeded']}")
        tab.heading("There is no such job")


def assert_empty(tab: Tab) -> None:
    expect(tab.page.get_by_text("Three steps to a smaller network")).to_be_visible()
    for path, text in (
        ("/models", "No models yet"),
        ("/datasets", "No data sets yet"),
        ("/jobs", "No jobs yet"),
        ("/sweeps", "No sweeps yet"),
        ("/jobs/new", "No model to prune"),
        ("/try", "No model to run"),
    ):
        tab.go(path)
        expect(tab.page.get_by_text(text)).to_be_visible()


def test_no_key_is_asked_for_if_authentication_is_off(
    tmp_path_factory: pytest.TempPathFactory, open_tab: OpenTab
) -> None:
    folder = tmp_path_factory.mktemp("open") / "data"
    with (
        serving(folder, api={"is_auth_required": False}) as found,
        open_tab(f"http://{found.address}") as tab,
    ):
        tab.page.goto(tab.base)
        tab.heading("Overview")
        expect(tab.page.get_by_text("Three steps to a smaller network")).to_be_visible()
        assert tab.page.get_by_role("button", name="Sign out").count() == 0

"""The levers of the dashboard: workers, queues, and a failed job that is tried again."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from app.records import levers
from app.records.tables import JobRow, WorkerRow
from tests.e2e.browser.conftest import OpenTab
from tests.fixtures.browser import Tab
from tests.fixtures.serving import Serving, serving
from tests.fixtures.shown import Shown, fill


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("operating") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def shown(api: Serving) -> Shown:
    return fill(api.context.sessions)


def enter(tab: Tab, api: Serving, *scopes: str) -> None:
    tab.enter(api.key("default", *scopes)["Authorization"].removeprefix("Bearer "))


@pytest.mark.usefixtures("shown")
def test_an_operator_moves_workers_and_queues(api: Serving, open_tab: OpenTab) -> None:
    def worker() -> WorkerRow:
        with api.context.sessions() as session:
            return session.get_one(WorkerRow, "host:1")

    with open_tab(f"http://{api.address}") as tab:
        enter(tab, api, "admin", "operator")
        tab.go("/operate")
        page = tab.page
        page.get_by_role("button", name="Cordon host:1", exact=True).click()
        expect(page.get_by_role("button", name="Uncordon host:1")).to_be_visible()
        assert (worker().cordoned_at is None, worker().drained_at) == (False, None)
        page.get_by_role("button", name="Drain host:1").click()
        expect(page.get_by_text("draining")).to_be_visible()
        assert worker().drained_at is not None
        page.get_by_role("button", name="Uncordon host:1").click()
        expect(page.get_by_text("active", exact=True)).to_be_visible()

        page.get_by_role("button", name="Pause the queue cpu").click()
        expect(page.get_by_role("button", name="Resume the queue cpu")).to_be_visible()
        with api.context.sessions() as session:
            assert "cpu" in levers.paused_queues(session)
        tab.go("/queues")
        expect(page.get_by_text("Paused by an operator")).to_be_visible()
        tab.go("/operate")
        page.get_by_role("button", name="Resume the queue cpu").click()
        expect(page.get_by_role("button", name="Pause the queue cpu")).to_be_visible()
        expect(page.get_by_role("rowheader", name="default")).to_be_visible()


@pytest.mark.usefixtures("shown")
def test_a_key_of_a_tenant_is_told_which_scope_is_missing(api: Serving, open_tab: OpenTab) -> None:
    with open_tab(f"http://{api.address}", expected=("403",)) as tab:
        enter(tab, api, "admin")
        tab.go("/operate")
        expect(tab.page.get_by_text("lacks the scope 'operator'")).to_be_visible()


def test_a_failed_job_is_tried_again(api: Serving, shown: Shown, open_tab: OpenTab) -> None:
    job_id = shown.jobs["failed"]
    with open_tab(f"http://{api.address}") as tab:
        enter(tab, api, "jobs:read", "jobs:write", "models:read", "datasets:read")
        tab.go(f"/jobs/{job_id}")
        tab.page.get_by_role("button", name="Try again").click()
        expect(tab.page.get_by_role("button", name="Pause")).to_be_visible()
    with api.context.sessions() as session:
        assert session.get_one(JobRow, job_id).state == "queued"

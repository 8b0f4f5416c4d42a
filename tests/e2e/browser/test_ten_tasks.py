"""What a new user wants to do, and the most clicks and filled fields that it may take.

Each task begins on the overview, signed in. `test_whole_path` does the first one with files of its
own and a real worker.
"""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from app.records.tables import AliasRow, ModelRow
from tests.e2e.browser.conftest import OpenTab
from tests.fixtures.serving import Serving, serving
from tests.fixtures.shown import Shown, fill

Task = Callable[[Page, Shown], None]
_NAME = "fashion-net"
TASKS: dict[str, tuple[int, Task]] = {}


def task(most: int) -> Callable[[Task], Task]:
    """Register a task that may take so many actions."""

    def register(found: Task) -> Task:
        TASKS[found.__name__] = (most, found)
        return found

    return register


@task(1)
def judge_a_result(page: Page, shown: Shown) -> None:
    page.locator(f'a[href="#/jobs/{shown.jobs["succeeded"]}"]').click()
    expect(page.get_by_text("Ready: 1.9x faster")).to_be_visible()


@task(3)
def make_it_faster(page: Page, shown: Shown) -> None:
    page.locator(f'a[href="#/jobs/{shown.jobs["succeeded"]}"]').click()
    page.get_by_role("link", name="Remove more").click()
    page.get_by_role("button", name="Start the job").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Prune {_NAME}")
    assert shown.jobs["succeeded"] not in page.url


@task(4)
def compare_two_jobs(page: Page, shown: Shown) -> None:
    page.get_by_role("link", name="All jobs").click()
    for state in ("succeeded", "cancelled"):
        page.locator(f"#compare-{shown.jobs[state]}").check()
    page.get_by_role("button", name=re.compile("^Compare")).click()
    expect(page.get_by_role("table", name="Results of the jobs")).to_be_visible()


@task(3)
def put_a_version_into_production(page: Page, shown: Shown) -> None:
    page.locator(f'a[href="#/models/{shown.pruned_model}"]').first.click()
    page.get_by_label("New alias").fill("candidate")
    page.get_by_role("button", name="Create", exact=True).click()
    row = page.get_by_role("table", name=re.compile("^Aliases")).get_by_role("row")
    expect(row.filter(has_text="candidate")).to_contain_text("Version 2")


@task(1)
def find_out_why_a_layer_stays(page: Page, shown: Shown) -> None:
    page.locator(f'a[href="#/models/{shown.model}"]').first.click()
    table = page.get_by_role("table", name="Filters that cannot be pruned")
    expect(table.get_by_role("columnheader", name="Reason")).to_be_visible()


@task(5)
def fix_the_preprocessing(page: Page, shown: Shown) -> None:
    page.get_by_role("link", name="Data sets").click()
    page.locator(f'a[href="#/datasets/{shown.dataset}"]').click()
    page.get_by_role("button", name="Other preprocessing").click()
    page.get_by_role("dialog").get_by_label("Preset").select_option("imagenet")
    page.get_by_role("button", name="Make the copy").click()
    expect(page.get_by_text("Validating the data set")).to_be_visible()
    facts = page.locator(".facts div").filter(has_text="Preprocessing")
    expect(facts).to_contain_text("imagenet")


@task(3)
def give_a_colleague_access(page: Page, shown: Shown) -> None:
    del shown
    page.get_by_role("link", name="Keys").click()
    page.get_by_label("For whom or what").fill("Ada")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_label(re.compile("^Link"))).to_have_value(re.compile("#key=sec_"))


@task(2)
def roll_back(page: Page, shown: Shown) -> None:
    page.locator(f'a[href="#/models/{shown.model}"]').first.click()
    row = page.get_by_role("table", name=re.compile("^Aliases")).get_by_role("row")
    row.filter(has_text="production").get_by_role("button", name="Roll back").click()
    expect(row.filter(has_text="production")).to_contain_text("Version 1 (75")


@task(3)
def delete_a_job_and_take_it_back(page: Page, shown: Shown) -> None:
    del shown
    page.get_by_role("link", name="All jobs").click()
    page.get_by_role("button", name=re.compile("^Delete")).first.click()
    expect(page.get_by_text(re.compile("^Deleted"))).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text(re.compile("^Restored"))).to_be_visible()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("tasks") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def shown(api: Serving) -> Shown:
    found = fill(api.context.sessions)
    with api.context.sessions.begin() as session:
        for model in (found.model, found.pruned_model):
            session.get_one(ModelRow, model).name = _NAME
        for alias in session.scalars(select(AliasRow)):
            alias.name = _NAME
    return found


@pytest.mark.parametrize("name", TASKS)
def test_a_task_takes_few_actions(api: Serving, shown: Shown, open_tab: OpenTab, name: str) -> None:
    most, act = TASKS[name]
    with open_tab(f"http://{api.address}", expected=("409",)) as tab:  # no report yet
        tab.enter(api.key()["Authorization"].removeprefix("Bearer "))
        act(tab.page, shown)
        assert tab.num_actions() == most


def test_an_example_is_pruned_with_one_click(api: Serving, open_tab: OpenTab) -> None:
    with open_tab(f"http://{api.address}") as tab:
        tab.enter(api.key("newcomer")["Authorization"].removeprefix("Bearer "))
        tab.page.get_by_role("button", name="Try with an example").click()
        expect(tab.page.get_by_role("heading", name="Progress")).to_be_visible()
        assert tab.num_actions() == 1

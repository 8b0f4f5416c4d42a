"""Every page of the dashboard with all kinds of data: accessibility, size, escaping, errors."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.e2e.browser.conftest import OpenTab
from tests.fixtures.api import add_report
from tests.fixtures.browser import PHONE, Tab
from tests.fixtures.serving import Serving, serving
from tests.fixtures.shown import HOSTILE, fill, spoil

_MOST_BYTES = 500_000


class World:
    """Running API filled with test data."""

    def __init__(self, api: Serving) -> None:
        key = api.key("default", "admin", "operator")["Authorization"].removeprefix("Bearer ")
        self.base, self.key, self.context = f"http://{api.address}", key, api.context
        self.shown = fill(api.context.sessions)

    def pages(self) -> dict[str, tuple[str, str]]:
        """Return the address and the heading of every page, by its name."""
        shown = self.shown
        return {
            "overview": ("/", "Overview"),
            "models": ("/models", "Models"),
            "model": (f"/models/{shown.model}", HOSTILE),
            "datasets": ("/datasets", "Data sets"),
            "dataset": (f"/datasets/{shown.dataset}", "fashion"),
            "devices": ("/devices", "Devices"),
            "jobs": ("/jobs", "Jobs"),
            "new job": ("/jobs/new", "Start a job"),
            **{
                f"job {state}": (f"/jobs/{job}", f"Prune {HOSTILE}")
                for state, job in shown.jobs.items()
            },
            "compare": (
                f"/compare?job={shown.jobs['succeeded']}&job={shown.jobs['failed']}",
                "Compare jobs",
            ),
            "sweeps": ("/sweeps", "Sweeps"),
            "new sweep": ("/sweeps/new", "Start a sweep"),
            "sweep": (f"/sweeps/{shown.sweep}", "Sweep"),
            "try it": ("/try", "Try it"),
            "queues": ("/queues", "Queue"),
            "operate": ("/operate", "Operate"),
            "keys": ("/keys", "Keys"),
            "nowhere": ("/nowhere", "Page not found"),
        }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with serving(tmp_path_factory.mktemp("pages") / "data") as api:
        yield World(api)


PAGES = (
    "overview", "models", "model", "datasets", "dataset", "devices", "jobs", "new job",
    "job queued", "job paused", "job running", "job failed", "job cancelled", "job succeeded",
    "compare", "sweeps", "new sweep", "sweep", "try it", "queues", "operate", "keys", "nowhere",
)  # fmt: skip


@pytest.fixture
def tab(world: World, open_tab: OpenTab) -> Iterator[Tab]:
    with open_tab(world.base) as found:
        found.enter(world.key)
        yield found


def show(tab: Tab, world: World, name: str) -> None:
    """Open a page and wait until it has loaded."""
    path, heading = world.pages()[name]
    tab.go(path)
    tab.heading(heading)
    tab.settle()


def test_every_page_is_in_the_list(world: World) -> None:
    assert set(PAGES) == set(world.pages())


@pytest.mark.parametrize("width", ["desktop", "phone"])
def test_every_page_is_accessible_and_fits_the_screen(
    world: World, open_tab: OpenTab, width: str
) -> None:
    # axe-core creates markup from strings, which our own policy forbids.
    options: dict[str, Any] = {"bypass_csp": True}
    if width == "phone":
        options["viewport"] = PHONE
    found: dict[str, list[str]] = {}
    with open_tab(world.base, **options) as tab:
        tab.enter(world.key)
        for name in PAGES:
            show(tab, world, name)
            tab.open_everything()
            found[name] = tab.barriers_in_both_themes()
            assert_fits(tab, name)
    assert {name: barriers for name, barriers in found.items() if barriers} == {}


def test_the_accessibility_check_finds_known_problems(world: World, open_tab: OpenTab) -> None:
    with open_tab(world.base, bypass_csp=True) as tab:
        tab.enter(world.key)
        unnamed = "document.createElement('input')"
        tab.page.evaluate(f"document.querySelector('main').append({unnamed})")
        tab.page.evaluate("document.querySelector('.lead').style.color = 'var(--line)'")
        found = tab.barriers_in_both_themes()
    expected = ["light: color-contrast", "light: label", "dark: color-contrast"]
    assert [each.rpartition(": <")[0] for each in found] == expected


def assert_fits(tab: Tab, name: str) -> None:
    """Check that only tables scroll sideways."""
    widths = tab.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1], f"{name} is wider than the screen"


def test_every_page_loads_few_bytes(world: World, open_tab: OpenTab) -> None:
    found: dict[str, int] = {}
    with open_tab(world.base) as tab:
        sizes: list[int] = []
        session = tab.context.new_cdp_session(tab.page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        session.on("Network.loadingFinished", lambda e: sizes.append(int(e["encodedDataLength"])))
        for number, name in enumerate(PAGES):
            path, heading = world.pages()[name]
            sizes.clear()
            # A document of its own: without a query, only what follows the hash would change.
            tab.page.goto(f"{world.base}/?{number}#key={world.key}&to={path}")
            tab.heading(heading)
            tab.settle()
            found[name] = sum(sizes)
    assert {name: size for name, size in found.items() if not 20_000 < size < _MOST_BYTES} == {}


def test_data_sets_show_their_preprocessing(world: World, tab: Tab) -> None:
    show(tab, world, "datasets")
    assert "Preprocessing: mean 0.286, std 0.353" in tab.page.inner_text("main")
    tab.page.get_by_label("Show").select_option("Rejected")
    tab.page.get_by_text("Preprocessing: none given").wait_for()


def test_a_file_is_fetched_from_a_url(world: World, open_tab: OpenTab) -> None:
    with open_tab(world.base, expected=("422",)) as tab:
        tab.enter(world.key)
        page = tab.page
        show(tab, world, "datasets")
        page.get_by_label("Or its URL").fill("https://127.0.0.1/pets%20and%20more.zip?x=y")
        page.get_by_role("button", name="Use URL").click()
        expect(page.get_by_label("Name", exact=True)).to_have_value("pets and more")
        page.get_by_label("Preset").select_option("imagenet")
        page.get_by_role("button", name="Fetch").click()
        expect(page.get_by_role("alert")).to_contain_text("the host has no address, or one")
        sent = tab.requests[-1]
        assert sent.url.endswith("/v1/datasets:fetch")
        assert sent.post_data_json == {
            "url": "https://127.0.0.1/pets%20and%20more.zip?x=y",
            "name": "pets and more",
            "preprocess": '{"preset":"imagenet"}',
        }


def test_the_page_of_a_data_set_shows_its_images_and_classes(world: World, tab: Tab) -> None:
    show(tab, world, "dataset")
    images = tab.page.locator(".example img")
    expect(images).to_have_count(2)
    sizes = "[...document.querySelectorAll('.example img')].map((image) => image.naturalWidth)"
    tab.until(f"JSON.stringify({sizes}) === '[12,4]'")
    expect(images.last).to_have_attribute("alt", f"1 object: {HOSTILE}")
    expect(tab.page.locator(".example rect")).to_have_count(1)
    classes = tab.page.get_by_role("table", name="Classes and their counts")
    expect(classes.get_by_role("row")).to_have_count(1 + 10)
    jobs = tab.page.get_by_role("table", name="Jobs")
    expect(jobs.get_by_role("link", name=re.compile("^job_")).first).to_be_visible()


def test_hostile_text_in_every_field_stays_text(tmp_path: Path, open_tab: OpenTab) -> None:
    with serving(tmp_path / "data") as api:
        spoiled = World(api)
        spoil(api.context.sessions)
        with open_tab(spoiled.base) as tab:
            tab.enter(spoiled.key)
            for name, (path, _) in spoiled.pages().items():
                tab.go(path)
                tab.page.get_by_role("heading", level=1).wait_for()
                tab.settle()
                tab.open_everything()
                assert (
                    tab.page.locator('img[src="x"], [onerror], [href^="javascript:"]').count() == 0
                ), name
                assert tab.page.evaluate("window.hacked") is None, name
                if name.startswith("job ") or name in {
                    "models",
                    "model",
                    "datasets",
                    "dataset",
                    "devices",
                    "try it",
                }:
                    assert HOSTILE in tab.page.locator("main").inner_text(), name


def test_a_string_cannot_become_markup(tab: Tab) -> None:
    """The content security policy holds even if our own code is careless."""
    attempt = """() => {
        try { document.body.innerHTML = "<b>markup</b>"; return "done"; }
        catch (error) { return error.name; }
    }"""
    assert tab.page.evaluate(attempt) == "TypeError"
    tab.problems.clear()  # the browser logs the violation


def test_the_page_of_a_job_shows_all_results(world: World, tab: Tab) -> None:
    show(tab, world, "job succeeded")
    page = tab.page
    table = page.get_by_role("table", name="The network before and after")
    row = table.get_by_role("row", name=re.compile("^Accuracy"))
    for text in ("92.60", "10.05", "92.43", "\N{MINUS SIGN}0.17 points", "55.00"):
        expect(row).to_contain_text(text)
    macs = table.get_by_role("row", name=re.compile("^MACs"))
    expect(macs).to_contain_text("\N{MINUS SIGN}50.3")
    int8 = page.get_by_role("table", name="The pruned network in fp32 and in int8")
    for text in ("92.43", "92.01", "\N{MINUS SIGN}75"):
        expect(int8).to_contain_text(text)
    expect(page.get_by_text("Served as variant int8")).to_be_visible()
    expect(page.get_by_text("Proven equal")).to_be_visible()
    expect(page.get_by_text("4.8e-16")).to_be_visible()
    for title in ("Architecture", "Saliency curves", "Training", "Files", "Events"):
        expect(page.get_by_role("heading", name=title, exact=True)).to_be_visible()
    curve = page.get_by_role("img", name=re.compile(r"over 64 filters\. The \d+ below"))
    expect(curve.first).to_be_visible()
    curves = page.locator(".panel", has=page.get_by_role("heading", name="Saliency curves"))
    curves.get_by_text("Show as a table").click()
    rows = page.get_by_role("table", name="Widths and saliencies of every layer")
    expect(rows.get_by_role("row")).to_have_count(1 + 20)
    expect(page.get_by_role("button", name="Download model.onnx")).to_be_visible()


def test_the_architecture_is_read_with_the_keyboard_and_as_a_table(world: World, tab: Tab) -> None:
    show(tab, world, "job succeeded")
    layers = tab.page.get_by_role("listbox", name="Layers of the network, from input to output")
    options = layers.get_by_role("option")
    expect(options).to_have_count(1 + 20 + 10)
    chosen = layers.get_by_role("option", selected=True)
    expect(chosen).to_have_accessible_name(
        re.compile("layer0.0.conv, conv2d, 64 channels before, 32 after, from filter 34 on")
    )
    chosen.focus()
    tab.page.keyboard.press("ArrowDown")
    details = tab.page.locator(".arch-details")
    expect(details).to_contain_text("layer0.1.conv")
    expect(details).to_contain_text("64 → 40")
    expect(details).to_contain_text(f"Read by{HOSTILE}")
    expect(tab.page.locator(".arch-link.is-chosen")).to_have_count(0)
    tab.page.keyboard.press("ArrowDown")  # the sum, which also reads the input
    expect(tab.page.locator(".arch-link.is-chosen")).to_have_count(2)
    tab.page.keyboard.press("End")
    assert tab.page.evaluate(
        "document.activeElement === document.querySelector('.arch-nodes').lastChild"
    )
    options.nth(1).hover()
    expect(details).to_contain_text("64 → 32")
    tab.page.get_by_text("Show the architecture as a table").click()
    rows = tab.page.get_by_role("table", name="Layers of the network with their channels")
    expect(rows.get_by_role("row")).to_have_count(1 + 1 + 20 + 10)


def test_a_report_is_shared_by_a_link_that_can_be_revoked(world: World, open_tab: OpenTab) -> None:
    job = world.shown.jobs["succeeded"]
    with open_tab(world.base, bypass_csp=True, expected=("409",)) as tab:
        tab.enter(world.key)
        page = tab.page
        show(tab, world, "job succeeded")
        page.get_by_role("button", name="Share report").click()
        page.get_by_role("button", name="Create a link").click()
        expect(page.get_by_role("dialog")).to_contain_text("has no report.html to share")
        add_report(world.context, job)
        page.get_by_label("Valid for").select_option("1 day")
        page.get_by_role("button", name="Create a link").click()
        link = page.get_by_label("Link to the report", exact=True).input_value()
        links = page.get_by_role("table", name="Links to this report")
        expect(links.get_by_role("row")).to_have_count(1 + 1)
        assert tab.barriers_in_both_themes() == []
        with open_tab(world.base, expected=("404",)) as colleague:  # without a key
            colleague.page.goto(link)
            expect(colleague.page).to_have_title("Report")
            page.get_by_role("button", name=re.compile("^Revoke the link")).click()
            expect(links).to_contain_text("Revoked")
            colleague.page.reload()
            expect(colleague.page.get_by_role("heading")).to_have_text("This link does not work")


def test_curves_are_drawn_when_scrolled_into_view(world: World, tab: Tab) -> None:
    show(tab, world, "job succeeded")
    canvases = tab.page.locator(".layer canvas")
    before = canvases.count()
    assert before < 20
    tab.page.locator(".layer").last.scroll_into_view_if_needed()
    tab.until(f"document.querySelectorAll('.layer canvas').length > {before}")


def test_a_failed_job_shows_advice(world: World, tab: Tab) -> None:
    show(tab, world, "job failed")
    main = tab.page.locator("main")
    expect(main).to_contain_text("Failed in the stage retrain")
    expect(main).to_contain_text("nan_loss")
    expect(main).to_contain_text("Use a smaller retrain.optimizer.learning_rate.")


def test_what_is_not_there_is_explained_and_what_was_deleted_is_restored(
    world: World, open_tab: OpenTab
) -> None:
    with open_tab(world.base, expected=("404",)) as tab:
        tab.enter(world.key)
        page = tab.page
        tab.go("/jobs/job_01JD0000000000000000000000")
        tab.heading("There is no such job")
        expect(page.locator("main")).to_contain_text("belongs to another tenant")
        page.get_by_role("link", name="All jobs").click()
        tab.heading("Jobs")
        tab.go("/jobs/%E0%A4%A")  # malformed
        tab.heading("There is no such job")
        tab.go(f"/jobs/{world.shown.jobs['cancelled']}")
        page.get_by_role("button", name="Delete").click()
        tab.heading("Jobs")
        page.go_back()
        tab.heading("This job was deleted")
        page.get_by_role("button", name="Restore it").click()
        tab.heading(f"Prune {HOSTILE}")
        page.goto(f"{world.base}/models/{world.shown.model}")  # without the hash
        tab.heading(HOSTILE)


def test_models_and_data_sets_are_renamed_and_tagged(world: World, open_tab: OpenTab) -> None:
    with open_tab(world.base, expected=("409",)) as tab:  # the pruned model has no report
        tab.enter(world.key)
        for path, where in (
            (f"/models/{world.shown.pruned_model}", "Models"),
            (f"/datasets/{world.shown.dataset}", "Data sets"),
        ):
            tab.go(path)
            label(tab, "Renamed", "night, <i>v2</i>")
            expect(tab.page.locator(".tag")).to_have_text(["night", "<i>v2</i>"])
            tab.page.get_by_role("link", name=where, exact=True).first.click()
            tab.page.get_by_label("Search names and tags").fill("NIGHT")
            expect(tab.page.get_by_role("row")).to_have_count(2)
            tab.page.get_by_role("row").get_by_role("link", name="Renamed").click()
            tab.heading("Renamed")
        label(tab, "fashion", "")


def label(tab: Tab, name: str, tags: str) -> None:
    """Change name and tags in the dialog."""
    tab.page.get_by_role("button", name="Name and tags").click()
    tab.page.get_by_label("Name of the").fill(name)
    tab.page.get_by_label("Tags", exact=True).fill(tags)
    tab.page.get_by_role("button", name="Save").click()
    tab.heading(name)


def test_the_chart_of_a_sweep_has_a_text_alternative(world: World, tab: Tab) -> None:
    show(tab, world, "sweep")
    picture = tab.page.get_by_role("img", name=re.compile("Accuracy against MACs"))
    assert "87.50\u00a0% at 50.0\u00a0%" in (picture.get_attribute("aria-label") or "")
    table = tab.page.get_by_role("table", name="Every point of the sweep")
    expect(table.get_by_role("row")).to_have_count(1 + 3)


def test_the_dashboard_works_with_the_keyboard(world: World, open_tab: OpenTab) -> None:
    with open_tab(world.base, viewport=PHONE) as tab:
        tab.enter(world.key)
        page = tab.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        assert page.url.endswith("#/")  # the router's address is unchanged
        menu = page.get_by_role("button", name="Menu")
        menu.focus()
        page.keyboard.press("Enter")
        assert menu.get_attribute("aria-expanded") == "true"
        page.get_by_role("link", name="Jobs", exact=True).focus()
        page.keyboard.press("Enter")
        tab.heading("Jobs")
        assert page.evaluate("document.activeElement.tagName") == "H1"
        assert menu.get_attribute("aria-expanded") == "false"
        assert page.title() == "Jobs · Secateur"


def test_the_page_of_a_job_shows_each_warning_once(tab: Tab, world: World) -> None:
    show(tab, world, "job succeeded")
    items = tab.page.get_by_role("listitem")
    expect(items.filter(has_text="pruning did not make it faster")).to_have_count(1)
    expect(items.get_by_text(HOSTILE, exact=True)).to_have_count(1)


def test_the_chosen_theme_persists(world: World, open_tab: OpenTab) -> None:
    with open_tab(world.base, color_scheme="light") as tab:
        tab.enter(world.key)
        background = "getComputedStyle(document.body).backgroundColor"
        before = tab.page.evaluate(background)
        tab.page.get_by_label("Theme").select_option("Dark")
        dark = tab.page.evaluate(background)
        assert dark != before
        tab.page.reload()
        tab.heading("Overview")
        assert tab.page.evaluate(background) == dark


def test_lists_keep_the_focus_when_redrawn(world: World, tab: Tab) -> None:
    show(tab, world, "jobs")
    link = tab.page.get_by_role("row").nth(1).get_by_role("link").first
    link.focus()
    href = link.get_attribute("href")
    tab.page.route(re.compile("/v1/jobs"), lambda route: route.fulfill(json=_with_news(route)))
    tab.until("document.body.innerText.includes('Expired')")
    assert tab.page.evaluate("document.activeElement.getAttribute('href')") == href


def _with_news(route: Any) -> Any:
    body = route.fetch().json()
    body["data"][-1]["status"] = "expired"
    return body


def test_a_page_keeps_its_content_while_the_service_is_unreachable(
    world: World, open_tab: OpenTab
) -> None:
    with open_tab(world.base, expected=("ERR_INTERNET_DISCONNECTED",)) as tab:
        tab.enter(world.key)
        show(tab, world, "queues")
        tab.context.set_offline(True)
        banner = tab.page.get_by_text("The service cannot be reached. Retrying")
        banner.wait_for()
        expect(tab.page.get_by_text("CPU queue")).to_be_visible()
        tab.context.set_offline(False)
        banner.wait_for(state="hidden")


def test_a_page_keeps_its_content_while_the_database_is_unavailable(
    world: World, open_tab: OpenTab
) -> None:
    with open_tab(world.base, expected=("503",)) as tab:
        tab.enter(world.key)
        show(tab, world, "queues")
        problem = {"title": "Service Unavailable", "detail": "away", "code": "unavailable"}
        queues = re.compile("/v1/queues")
        tab.page.route(queues, lambda route: route.fulfill(status=503, json=problem))
        banner = tab.page.get_by_text("The service cannot be reached. Retrying")
        banner.wait_for()
        expect(tab.page.get_by_text("CPU queue")).to_be_visible()
        tab.page.unroute(queues)
        banner.wait_for(state="hidden")
        # A page that has not loaded yet shows the error.
        tab.page.route(queues, lambda route: route.fulfill(status=503, json=problem))
        tab.go("/jobs")
        tab.heading("Jobs")
        tab.go("/queues")
        tab.heading("This page cannot be shown")
        tab.page.unroute(queues)
        tab.page.get_by_role("button", name="Try again").click()
        tab.heading("Queue")

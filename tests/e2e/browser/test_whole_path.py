"""The complete workflow in a browser with a real service, and its error paths."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from app.contracts.config_options import make_config
from tests.chaos.processes import find_part
from tests.e2e.browser.conftest import OpenTab
from tests.fixtures.browser import Tab
from tests.fixtures.files import zip_bytes
from tests.fixtures.service import (
    Service,
    images,
    npz_bytes,
    serving,
    trained_model_bytes,
)

_TIMEOUT_MS = 240_000  # for work done by a worker


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("browser") / "data") as found:
        yield found


@pytest.fixture
def tab(service: Service, open_tab: OpenTab) -> Iterator[Tab]:
    with open_tab(service.url) as found:
        found.enter(service.key)
        yield found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    x, y = images()
    (folder / "small.pt2").write_bytes(trained_model_bytes())
    (folder / "quadrants.npz").write_bytes(npz_bytes(x=x, y=y))
    (folder / "garbage.pt2").write_bytes(trained_model_bytes()[:5000])
    Image.fromarray(x[0]).save(folder / "image.png")
    return folder


@pytest.fixture(scope="module")
def things(service: Service, files: Path) -> dict[str, str]:
    """Upload a model and a data set; return their ids."""
    model = service.upload("models", (files / "small.pt2").read_bytes(), name="other")
    dataset = service.upload("datasets", (files / "quadrants.npz").read_bytes(), filename="d.npz")
    return {"model": model["id"], "dataset": dataset["id"]}


def upload(page: Page, file: Path, name: str | None = None) -> None:
    page.locator('input[type="file"]').set_input_files(file)
    if name is not None:
        page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Upload", exact=True).click()


def state(page: Page, word: str) -> None:
    """Wait until the job's badge shows a word."""
    badge = page.locator(".panel-head .badge", has_text=re.compile(f"^{word}$"))
    expect(badge).to_be_visible(timeout=_TIMEOUT_MS)


def test_the_complete_workflow(service: Service, tab: Tab, files: Path, tmp_path: Path) -> None:
    """Upload, plan, start, watch, read, download, try an image."""
    expect(tab.page.get_by_text("Three steps to a smaller network")).to_be_visible()
    upload_both(tab, files)
    preview = fill_in(tab)
    tab.page.get_by_role("button", name="Start the job").click()
    tab.heading("Prune <b>small</b>")
    watch(tab.page)
    job = service.get(f"/v1/jobs/{tab.page.url.rpartition('/')[2]}")
    assert job["config"]["retrain"] == {"epochs": 30, "batch_size": 16}
    assert_numbers(tab.page, job)
    summary = job["result"]["summary"]
    assert preview == f"{100 * summary['retrained']['macs'] / summary['dense']['macs']:.1f}\xa0%"
    with tab.page.expect_download() as download:
        tab.page.get_by_role("button", name="Download plan.json").click()
    download.value.save_as(tmp_path / "plan.json")
    assert json.loads((tmp_path / "plan.json").read_text())["version"] == 1
    open_a_next_step(tab, job)
    try_an_image(tab, files / "image.png")


def test_the_link_printed_by_serve_opens_the_dashboard(service: Service, open_tab: OpenTab) -> None:
    (link,) = re.findall(r"Dashboard: (\S+)", service.log.read_text())
    assert link == f"{service.url}/#key={service.key}"
    with open_tab(service.url) as tab:
        tab.page.goto(link)
        tab.heading("Overview")
        assert tab.page.url == f"{service.url}/#/"


def upload_both(tab: Tab, files: Path) -> None:
    page = tab.page
    page.get_by_role("link", name="Models", exact=True).click()
    tab.heading("Models")
    upload(page, files / "small.pt2", "<b>small</b>")
    expect(page.get_by_text("<b>small</b> is ready")).to_be_visible(timeout=_TIMEOUT_MS)
    page.get_by_role("link", name="Data sets", exact=True).click()
    tab.heading("Data sets")  # a file must not be dropped on the page before
    upload(page, files / "quadrants.npz")
    expect(page.get_by_text("quadrants is ready")).to_be_visible(timeout=_TIMEOUT_MS)


def fill_in(tab: Tab) -> str:
    """Fill in the form; return the share of MACs in its preview."""
    page = tab.page
    page.get_by_role("link", name="Jobs", exact=True).click()
    page.get_by_role("link", name="Start a job").first.click()
    tab.heading("Start a job")
    page.get_by_text("Advanced", exact=True).click()
    page.get_by_label("MACs to keep").fill("0.5")
    page.get_by_label("Round widths to").fill("4")
    page.locator("summary", has_text="Retraining").click()
    page.get_by_label("Epochs").fill("30")
    page.get_by_label("Batch size").last.fill("16")
    page.get_by_text("Config as JSON").click()
    config = json.loads(page.locator("pre.code").inner_text())
    assert config == {
        "selection": {"mode": "budget", "macs": 0.5, "round_to": 4},
        "retrain": {"epochs": 30, "batch_size": 16},
    }
    expect(page.get_by_text("filters removed.")).to_be_visible(timeout=_TIMEOUT_MS)
    return page.locator(".aside .card-value").first.inner_text().split("\n")[0]


def watch(page: Page) -> None:
    """Check that the page updates by itself, without a reload."""
    state(page, "Running")
    page.evaluate("window.isTheSame = true")
    curve = page.get_by_role("img", name=re.compile("Saliency rises from"))
    expect(curve.first).to_be_visible(timeout=_TIMEOUT_MS)
    expect(page.locator(".stage.is-live")).to_contain_text("Retrain", timeout=_TIMEOUT_MS)
    losses = page.get_by_role("img", name=re.compile("Training loss went from"))
    expect(losses).to_be_visible(timeout=_TIMEOUT_MS)
    assert page.locator(".badge", has_text="Succeeded").count() == 0
    state(page, "Succeeded")
    assert page.evaluate("window.isTheSame") is True
    expect(losses).to_have_attribute("aria-label", re.compile("30 of 30 epochs"))
    expect(page.get_by_text("Proven equal")).to_be_visible()


def open_a_next_step(tab: Tab, job: dict[str, Any]) -> None:
    """Check that the verdict's first button opens the form with that change, and go back."""
    page, verdict = tab.page, job["result"]["summary"]["verdict"]
    expect(page.locator(".notice-title").first).to_have_text(verdict["text"])
    step = verdict["next_steps"][0]
    page.get_by_role("link", name=step["title"]).click()
    tab.heading("Start a job")
    page.get_by_text("Config as JSON").click()
    shown = json.loads(page.locator("pre.code").inner_text())
    given = {name[1:].replace("/", "."): value for name, value in step["config"].items()}
    assert shown == make_config(job["config"], given, [])
    page.go_back()
    tab.heading("Prune <b>small</b>")


def try_an_image(tab: Tab, image: Path) -> None:
    page = tab.page
    page.get_by_role("link", name="Try it").last.click()
    tab.heading("Try it")
    page.locator('input[type="file"]').set_input_files(image)
    expect(page.get_by_role("heading", name="Dense", exact=True)).to_be_visible()
    expect(page.get_by_role("heading", name="Pruned", exact=True)).to_be_visible()
    expect(page.locator(".agreement")).to_contain_text(re.compile("Both predict|They disagree"))
    scores = [float(text[:-2]) for text in page.locator(".guesses .number").all_inner_texts()]
    assert len(scores) == 2 * 4
    assert sum(scores) == pytest.approx(200, abs=0.5)


def assert_numbers(page: Page, job: dict[str, Any]) -> None:
    """Check that the table shows the API's numbers."""
    summary = job["result"]["summary"]
    table = page.get_by_role("table", name="The network before and after")
    for name, key in (("Parameters", "num_parameters"), ("MACs", "macs")):
        row = table.get_by_role("row", name=re.compile(f"^{name}")).inner_text()
        for network in ("dense", "pruned", "retrained"):
            assert f"{summary[network][key]:,}" in row
    accuracy = next(
        metrics["top1"]
        for metrics in summary["retrained"]["metrics"]
        if (metrics["split"], metrics["runtime"]) == ("test", "torch")
    )
    row = table.get_by_role("row", name=re.compile("^Accuracy")).first.inner_text()
    assert f"{100 * accuracy:.2f}" in row


def test_a_job_is_paused_resumed_and_cancelled(
    service: Service, tab: Tab, things: dict[str, str]
) -> None:
    config = {"retrain": {"epochs": 1000, "batch_size": 4}, "selection": {"round_to": 2}}
    job_id = service.post_job(**things, config=config)
    page = tab.page
    tab.go("/queues")
    expect(page.get_by_role("table", name="Your jobs in the queue cpu")).to_contain_text(
        job_id[-6:]
    )
    expect(page.get_by_role("table", name="Workers of the queue cpu")).to_contain_text("1 of 1 job")
    tab.go(f"/jobs/{job_id}")
    expect(page.locator(".stage.is-live")).to_contain_text("Retrain", timeout=_TIMEOUT_MS)
    page.get_by_role("button", name="Pause").click()
    state(page, "Paused")
    page.get_by_role("button", name="Resume").click()
    state(page, "Running")
    page.get_by_role("button", name="Cancel").click()
    state(page, "Cancelled")
    assert page.get_by_role("button", name="Cancel").count() == 0
    assert service.get(f"/v1/jobs/{job_id}")["status"] == "cancelled"


def test_an_open_page_recovers_after_the_api_is_killed(
    service: Service, open_tab: OpenTab, things: dict[str, str]
) -> None:
    """Events resume where the stream broke, without duplicates or gaps."""
    config = {"retrain": {"epochs": 1000, "batch_size": 4}, "selection": {"round_to": 2}}
    job_id = service.post_job(**things, config=config)
    with open_tab(service.url, expected=("ERR_", "503")) as tab:
        tab.enter(service.key)
        page = tab.page
        tab.go(f"/jobs/{job_id}")
        losses = page.get_by_role("img", name=re.compile("Training loss went from"))
        expect(losses).to_be_visible(timeout=_TIMEOUT_MS)
        assert service.process is not None
        api = find_part(service.process.pid, "api")
        assert api is not None
        before = num_epochs(losses)
        os.kill(api.pid, signal.SIGKILL)
        expect(losses).not_to_have_attribute(
            "aria-label", losses.get_attribute("aria-label") or "", timeout=_TIMEOUT_MS
        )
        page.wait_for_timeout(2000)
        page.get_by_role("button", name="Cancel").click()
        state(page, "Cancelled")
        after = num_epochs(losses)
        assert after > before
        page.locator("summary", has_text="Show as a table").first.click()
        rows = page.get_by_role("table", name="Training, epoch by epoch").get_by_role("rowheader")
        assert rows.all_inner_texts() == [str(number) for number in range(1, after + 1)]


def num_epochs(losses: Locator) -> int:
    found = re.search(r"in (\d+) of", losses.get_attribute("aria-label") or "")
    assert found is not None
    return int(found[1])


def test_a_rejected_file_shows_the_reason(tab: Tab, files: Path) -> None:
    tab.go("/models")
    upload(tab.page, files / "garbage.pt2")
    expect(tab.page.get_by_text("garbage was rejected")).to_be_visible(timeout=_TIMEOUT_MS)
    expect(tab.page.get_by_text("torch.export").first).to_be_visible()


def test_an_error_in_the_config_is_shown_at_its_field(
    service: Service, open_tab: OpenTab, things: dict[str, str]
) -> None:
    with open_tab(service.url, expected=("422",)) as tab:
        tab.enter(service.key)
        page = tab.page
        tab.go(f"/jobs/new?model={things['model']}")
        page.get_by_label("Own settings").check()
        page.locator("summary", has_text="Retrain").click()
        page.get_by_label("Learning rate").fill("50")
        error = page.get_by_text("must be at most 10")
        expect(error.first).to_be_visible(timeout=_TIMEOUT_MS)
        field = page.get_by_label("Learning rate")
        expect(field).to_have_attribute("aria-invalid", "true")
        page.locator("summary", has_text="Retrain").click()  # collapse the section
        page.get_by_role("button", name="Start the job").click()
        expect(page.get_by_text("The job was not started").first).to_be_visible()
        expect(field).to_be_focused()
        field.fill("0.05")
        page.get_by_label("Method", exact=True).first.select_option("budget")
        one_of = page.get_by_text("exactly one of 'macs', 'params' and 'latency'")
        expect(one_of.first).to_be_visible(timeout=_TIMEOUT_MS)
        page.get_by_label("MACs to keep").fill("0.5")
        page.get_by_label("Round widths to").fill("2")
        expect(page.get_by_text("filters removed.")).to_be_visible(timeout=_TIMEOUT_MS)
        expect(page.locator('[aria-invalid="true"]')).to_have_count(0)


def test_a_search_has_no_preview_and_is_not_marked_invalid(
    service: Service, open_tab: OpenTab, things: dict[str, str]
) -> None:
    with open_tab(service.url) as tab:
        tab.enter(service.key)
        tab.go(f"/jobs/new?model={things['model']}&dataset={things['dataset']}")
        tab.page.get_by_label("At most 1 % loss").check()
        expect(tab.page.get_by_text("No preview for this option")).to_be_visible()
        expect(tab.page.locator('[aria-invalid="true"]')).to_have_count(0)


def test_an_unsupported_file_is_not_uploaded(tab: Tab, tmp_path: Path) -> None:
    weights = tmp_path / "weights.pth"
    weights.write_bytes(zip_bytes(b"weights/data.pkl"))
    tab.go("/models")
    tab.page.locator('input[type="file"]').set_input_files(weights)
    expect(tab.page.get_by_text("weights.pth is a PyTorch pickle").first).to_be_visible()
    expect(tab.page.get_by_role("button", name="Upload", exact=True)).to_have_count(0)


def test_only_the_latest_preview_is_requested(tab: Tab, things: dict[str, str]) -> None:
    page = tab.page
    tab.go(f"/jobs/new?model={things['model']}")
    tab.heading("Start a job")
    page.get_by_label("Own settings").check()
    for steepness in ("1", "1.5", "2", "2.5"):
        page.get_by_label("Steepness").fill(steepness)
    expect(page.locator(".aside").get_by_text("filters removed.")).to_be_visible(
        timeout=_TIMEOUT_MS
    )
    asked = [
        request.post_data_json["config"]
        for request in tab.requests
        if "jobs:plan" in request.url and request.post_data_json
    ]
    assert len(asked) <= 2  # possibly the initial preview, and the last
    assert asked[-1] == {"selection": {"steepness": 2.5}}


def test_the_plan_follows_a_layer_that_is_set_on_the_picture(
    tab: Tab, things: dict[str, str]
) -> None:
    page = tab.page
    tab.go(f"/jobs/new?model={things['model']}")
    tab.heading("Start a job")
    page.get_by_label("Own settings").check()
    page.get_by_label("Round widths to").fill("1")
    layers = page.get_by_role("listbox", name="Layers of the network, from input to output")
    widths = {
        name: layers.get_by_role("option", name=re.compile(f"^{name},"))
        for name in ("conv1", "conv2", "fc")
    }
    expect(widths["fc"]).to_contain_text("output")  # the reason, on the picture
    widths["fc"].click()
    expect(page.get_by_role("radio", name="Automatic")).to_be_hidden()
    widths["conv2"].click()  # its output is added to that of conv1
    page.get_by_label("Number of channels to keep").fill("5")
    for name in ("conv1", "conv2"):
        expect(widths[name]).to_contain_text("16 → 5", timeout=_TIMEOUT_MS)
    widths["conv1"].click()
    page.get_by_role("radio", name="freeze").check()
    expect(widths["conv2"].locator(".arch-width")).to_have_text("16", timeout=_TIMEOUT_MS)
    expect(page.locator(".aside .card-value").first).to_be_visible()


def test_a_job_can_be_rerun_with_changes(
    service: Service, tab: Tab, things: dict[str, str]
) -> None:
    config = {
        "selection": {"mode": "ratio", "ratio": 0.25, "layers": {"conv1*": {"ratio": 0.5}}},
        "retrain": {"epochs": 0},
    }
    job_id = service.post_job(**things, config=config)
    page = tab.page
    tab.go(f"/jobs/{job_id}")
    page.get_by_role("link", name="Run again with changes").click()
    tab.heading("Start a job")
    expect(page.get_by_label("Share of filters to remove")).to_have_value("0.25")
    expect(page.get_by_label("Name (glob)")).to_have_value("conv1*")
    page.get_by_role("button", name="Start the job").click()
    page.wait_for_url(re.compile(r"/jobs/job_"))
    again = page.url.rpartition("/")[2]
    assert again != job_id
    found = service.get(f"/v1/jobs/{again}")
    assert found["config"] == config
    assert (found["model"], found["dataset"]) == (things["model"], things["dataset"])


def test_a_sweep_is_started_and_drawn(tab: Tab, things: dict[str, str]) -> None:
    page = tab.page
    tab.go(f"/sweeps/new?model={things['model']}")
    tab.heading("Start a sweep")
    page.get_by_role("button", name="Remove parameter 2").click()
    page.get_by_label("Values of parameter 1").fill("0.8, 0.6")
    expect(page.get_by_text("2 jobs in total.")).to_be_visible()
    page.locator("summary", has_text="What to remove").click()
    page.get_by_label("Round widths to").fill("1")
    page.locator("summary", has_text="Retrain").click()
    page.get_by_label("Epochs").fill("1")
    page.get_by_role("button", name="Start the sweep").click()
    tab.heading("Sweep")
    picture = page.get_by_role("img", name=re.compile("against MACs"))
    expect(picture).to_be_visible(timeout=_TIMEOUT_MS)
    state(page, "Succeeded")
    expect(
        page.get_by_role("table", name="Every point of the sweep").get_by_role("row")
    ).to_have_count(3)

"""What a user does with jobs in the dashboard: choose a goal, name, find, compare, delete, undo."""

import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from app.contracts.goals import GOALS
from app.records.tables import ArtifactRow, JobRow, ModelRow
from tests.e2e.browser.conftest import OpenTab
from tests.fixtures.browser import Tab
from tests.fixtures.latencies import BENCH, as_csv, latency_rows
from tests.fixtures.serving import Serving, serving
from tests.fixtures.shown import Shown, fill

_SOURCES = re.compile(r"arXiv|claims? \d|CN\d|None:")


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("jobs") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def shown(api: Serving) -> Shown:
    found = fill(api.context.sessions)
    with api.context.sessions.begin() as session:
        session.get_one(ModelRow, found.model).name = "fashion-net"
    return found


@pytest.fixture
def tab(api: Serving, shown: Shown, open_tab: OpenTab) -> Iterator[Tab]:
    del shown
    with open_tab(f"http://{api.address}") as found:
        found.enter(api.key()["Authorization"].removeprefix("Bearer "))
        yield found


def newest(api: Serving) -> JobRow:
    with api.context.sessions() as session:
        query = select(JobRow).where(JobRow.kind == "prune").order_by(JobRow.id.desc()).limit(1)
        return session.scalars(query).one()


def config_shown(page: Page) -> Any:
    if not page.locator("pre.code").is_visible():
        page.get_by_text("Config as JSON").click()
    return json.loads(page.locator("pre.code").inner_text())


def test_a_job_is_started_with_a_goal_a_name_and_tags(api: Serving, shown: Shown, tab: Tab) -> None:
    tab.go(f"/jobs/new?model={shown.model}&dataset={shown.dataset}")
    page = tab.page
    expect(page.get_by_label("Balanced")).to_be_checked()
    expect(page.locator(".goal", has_text="2x faster")).to_contain_text(re.compile("roughly|about"))
    expect(page.locator(".goal", has_text="At most 1 %")).to_contain_text("3 trainings")
    page.get_by_label("Half the size").check()
    assert config_shown(page) == {"selection": {"mode": "budget", "params": 0.5}}
    page.get_by_label("Name of the job").fill("For the camera")
    page.get_by_label("Tags", exact=True).fill("camera, v2")
    page.get_by_role("button", name="Start the job").click()
    tab.heading("For the camera")
    job = newest(api)
    assert (job.goal, job.name, job.tags) == ("smaller", "For the camera", ["camera", "v2"])
    expect(page.locator(".tag")).to_have_text(["camera", "v2"])


def test_changed_settings_are_a_config_and_no_goal(api: Serving, shown: Shown, tab: Tab) -> None:
    tab.go(f"/jobs/new?model={shown.model}&dataset={shown.dataset}")
    page = tab.page
    page.get_by_label("Half the size").check()
    page.get_by_text("Advanced", exact=True).click()
    page.get_by_label("Parameters to keep").fill("0.25")
    expect(page.get_by_label("Own settings")).to_be_checked()
    page.get_by_label("Parameters to keep").fill("0.5")
    expect(page.get_by_label("Half the size")).to_be_checked()
    page.get_by_label("Parameters to keep").fill("0.25")
    page.get_by_role("button", name="Start the job").click()
    tab.heading("Prune fashion-net")
    job = newest(api)
    assert job.goal is None
    assert job.config["selection"]["params"] == 0.25


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.name)
def test_a_job_runs_again_with_the_goal_that_it_had(
    api: Serving, shown: Shown, tab: Tab, goal: Any
) -> None:
    sent = {"model": shown.model, "dataset": shown.dataset, "goal": goal.name}
    with api.client() as client:
        job = client.post("/v1/jobs", json=sent).json()["id"]
    tab.go(f"/jobs/new?from={job}")
    expect(tab.page.get_by_label(goal.title)).to_be_checked()


def test_layers_are_frozen_and_narrowed_on_the_picture(
    api: Serving, shown: Shown, tab: Tab
) -> None:
    tab.go(f"/jobs/new?model={shown.model}&dataset={shown.dataset}")
    page = tab.page
    page.get_by_label("Half the size").check()
    layers = page.get_by_role("listbox", name="Layers of the network, from input to output")
    layers.get_by_role("option", selected=True).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")  # to the controls of the layer
    page.keyboard.press("ArrowDown")  # from "Automatic" to "All"
    selection: Any = {"mode": "budget", "params": 0.5, "exclude": ["layer0.1.conv.weight"]}
    assert config_shown(page) == {"selection": selection}
    expect(layers.get_by_role("option", name=re.compile("^layer0.1.conv"))).to_have_accessible_name(
        re.compile("set by you")
    )
    layers.get_by_role("option", name=re.compile("^layer0.0.conv")).click()
    width = page.get_by_label("Number of channels to keep")
    width.press_sequentially("40")
    width.press("Enter")  # does not start the job
    width.fill("48")
    selection["layers"] = {"layer0.0.conv.weight": {"ratio": 0.25}}
    assert config_shown(page) == {"selection": selection}
    page.get_by_label("Balanced").check()  # another goal keeps what was set
    expect(page.locator(".arch-own li")).to_have_text(
        [
            "layer0.0.conv keeps about 48 of 64 channels",
            "layer0.1.conv keeps all 64 channels",
        ]
    )
    page.get_by_role("button", name="Undo the last change").click()
    expect(page.locator(".arch-own li")).to_have_count(1)
    expect(page.get_by_label("Balanced")).to_be_checked()
    page.get_by_role("button", name="Start the job").click()
    tab.heading("Prune fashion-net")
    job = newest(api)
    assert job.goal is None
    assert job.config == {
        "selection": {"mode": "budget", "macs": 0.7, "exclude": ["layer0.1.conv.weight"]}
    }


def test_a_device_is_measured_uploaded_and_pruned_for(
    api: Serving, shown: Shown, open_tab: OpenTab, tmp_path: Path
) -> None:
    with api.context.sessions.begin() as session:
        model = session.get_one(ModelRow, shown.model)
        model.report = {**(model.report or {}), "bench": BENCH}
    measured = tmp_path / "latencies.csv"
    measured.write_bytes(as_csv(latency_rows(BENCH, shown.model)).replace(b",", b";"))
    with open_tab(f"http://{api.address}", expected=("422",)) as tab:
        tab.enter(api.key()["Authorization"].removeprefix("Bearer "))
        page = tab.page
        page.get_by_role("link", name="Devices").click()
        page.get_by_label("Download three files").select_option(shown.model)
        expect(page.get_by_role("textbox", name="On the device")).to_have_value(
            "python secateur_bench.py fashion-net.bench --network fashion-net.onnx"
        )
        with page.expect_download() as script:
            page.get_by_role("button", name="Script").click()
        assert script.value.suggested_filename == "secateur_bench.py"
        with page.expect_download() as bench:
            page.get_by_role("button", name="Layers to measure").click()
        assert json.loads(Path(bench.value.path()).read_text())["model"] == shown.model
        page.locator('input[type="file"]').set_input_files(measured)
        page.get_by_label("Name", exact=True).fill("my board")
        page.get_by_role("button", name="Upload", exact=True).click()
        expect(page.get_by_role("alert")).to_contain_text("separates its values by semicolons")
        measured.write_bytes(measured.read_bytes().replace(b";", b","))
        page.get_by_role("button", name="Choose another").click()
        page.locator('input[type="file"]').set_input_files(measured)
        page.get_by_label("Name", exact=True).fill("my board")
        page.get_by_role("button", name="Upload", exact=True).click()
        expect(page.get_by_text("my board is ready")).to_be_visible()
        devices = page.get_by_role("table", name="Measured devices")
        page.get_by_role("button", name="Delete my board").click()
        expect(devices).not_to_contain_text("my board")
        page.get_by_role("button", name="Undo").click()
        expect(devices).to_contain_text("my board")
        page.get_by_role("link", name="Prune for my board").click()
        tab.heading("Start a job")
        expect(page.locator("#known-target option", has_text="my board (board)")).to_have_count(1)
        page.get_by_role("button", name="Start the job").click()
        tab.heading("Prune fashion-net")
    selection = (newest(api).config or {})["selection"]
    assert (selection["latency"], selection["round_to"]) == (0.5, "auto")
    with api.client() as client:
        assert client.get(f"/v1/latencies/{selection['target']}").json()["name"] == "my board"


def test_a_goal_that_needs_data_cannot_be_chosen_without(shown: Shown, tab: Tab) -> None:
    tab.go(f"/jobs/new?model={shown.model}&dataset={shown.dataset}")
    expect(tab.page.get_by_label("At most 1 % loss")).to_be_enabled()
    tab.page.get_by_label("Data set").select_option("")
    expect(tab.page.get_by_label("At most 1 % loss")).to_be_disabled()
    expect(tab.page.locator(".goal", has_text="At most 1 %")).to_contain_text("Needs a data set")


def test_the_form_is_written_for_people(shown: Shown, tab: Tab) -> None:
    tab.go(f"/jobs/new?model={shown.model}")
    expect(tab.page.get_by_label("Balanced")).to_be_checked()
    tab.open_everything()
    text = tab.page.locator("form").inner_text()
    assert _SOURCES.findall(text) == []
    labels = tab.page.locator("form .label, form legend").all_inner_texts()
    assert len(labels) > 60
    assert [label for label in labels if "_" in label] == []


def test_a_job_is_found_renamed_deleted_and_restored(shown: Shown, tab: Tab) -> None:
    page, job = tab.page, shown.jobs["failed"]
    tab.go(f"/jobs/{job}")
    page.get_by_role("button", name="Name and tags").click()
    page.get_by_label("Name of the job").fill("Crashed one")
    page.get_by_label("Tags", exact=True).fill("broken")
    page.get_by_role("button", name="Save").click()
    tab.heading("Crashed one")
    page.get_by_role("link", name="Jobs", exact=True).first.click()
    page.get_by_label("Search names").fill("BROKEN")
    rows = page.get_by_role("table", name="Jobs").get_by_role("row")
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Delete Crashed one").click()
    expect(page.get_by_text("Deleted Crashed one.")).to_be_visible()
    expect(page.get_by_text("No such jobs")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Restored Crashed one.")).to_be_visible()
    expect(rows).to_have_count(2)
    page.get_by_label("Show").select_option("Succeeded")
    expect(page.get_by_text("No such jobs")).to_be_visible()


def test_two_jobs_are_compared(shown: Shown, tab: Tab) -> None:
    page = tab.page
    tab.go("/jobs")
    compare = page.get_by_role("button", name=re.compile("^Compare"))
    expect(compare).to_be_disabled()
    for state in ("succeeded", "cancelled"):
        page.locator(f"#compare-{shown.jobs[state]}").check()
    compare.click()
    tab.heading("Compare jobs")
    table = page.get_by_role("table", name="Results of the jobs")
    expect(table.get_by_role("row", name=re.compile("^MACs left"))).to_contain_text("49.7")
    expect(table.get_by_role("row", name=re.compile("^Quality 9"))).to_contain_text("92.43")


def test_an_alias_is_created_switched_and_rolled_back(api: Serving, shown: Shown, tab: Tab) -> None:
    page = tab.page
    with api.context.sessions.begin() as session:
        pruned = session.get_one(ModelRow, shown.pruned_model)
        pruned.name, pruned.report = "fashion-net", session.get_one(ModelRow, shown.model).report
    tab.go(f"/models/{shown.model}")
    page.get_by_role("button", name="Create").click()
    row = page.get_by_role("table", name=re.compile("^Aliases")).get_by_role("row").last
    expect(row).to_contain_text("Version 1")
    tab.go(f"/models/{shown.pruned_model}")
    row.get_by_role("button", name="Serve version 2").click()
    expect(row).to_contain_text("Version 2")
    with api.client() as client:  # someone else switches it meanwhile
        path = "/v1/models/fashion-net/aliases/production"
        both = {"targets": [{"version": "1"}, {"version": "2", "weight": 3}]}
        match = {"If-Match": client.get(path).headers["ETag"]}
        assert client.put(path, json=both, headers=match).status_code == 200
        row.get_by_role("button", name="Roll back").click()
        expect(page.get_by_text("changed by someone else")).to_be_visible()
        expect(row).to_contain_text("Version 1 (25")
        row.get_by_role("button", name="Roll back to version 2").click()
        expect(row.get_by_role("cell").first).to_have_text("Version 2")
        assert client.get(path).json()["targets"] == [{"version": "2", "weight": 1}]


@pytest.mark.parametrize(("page_name", "kind"), [("/models", "Models"), ("/datasets", "Data sets")])
def test_rejected_uploads_are_shown_only_when_asked_for(
    tab: Tab, page_name: str, kind: str
) -> None:
    tab.go(page_name)
    table = tab.page.get_by_role("table", name=kind)
    expect(table).to_be_visible()
    expect(table.get_by_text("Rejected")).to_have_count(0)
    tab.page.get_by_label("Show").select_option("Rejected")
    expect(table.get_by_text("Rejected")).to_have_count(1)


def test_the_targets_of_a_job_are_shown_and_all_files_downloaded(
    api: Serving, shown: Shown, tab: Tab, tmp_path: Path
) -> None:
    job, text = shown.jobs["succeeded"], "print('<b>hello</b>')\n"
    data, script = text.encode(), tmp_path / "script"
    script.write_bytes(data)
    sha256 = api.context.store.put_file(script)
    with api.context.sessions.begin() as session:
        for row in session.scalars(select(ArtifactRow).where(ArtifactRow.job_id == job)):
            row.sha256, row.num_bytes = sha256, len(data)
            if row.name == "plan.json":
                row.name, row.media_type = "run_openvino.py", "text/plain; charset=utf-8"
    tab.go(f"/jobs/{job}")
    deploy = tab.page.get_by_role("region", name="Deploy")
    targets = deploy.get_by_role("row")
    expect(targets.filter(has_text="float32, as served")).to_contain_text("model.onnx")
    expect(targets.filter(has_text="int8")).to_contain_text("model_int8.onnx")
    kept = targets.filter(has_text="openvino.bin")
    expect(kept).to_contain_text("100")
    expect(kept).to_contain_text("largest difference 0.0004")
    expect(kept).to_contain_text("beside model.onnx")
    expect(targets.filter(has_text="Left out")).to_have_count(1)
    deploy.get_by_text("run_openvino.py").click()
    expect(deploy.locator("pre")).to_have_text(text)
    deploy.get_by_role("button", name="Copy: run_openvino.py").click()
    with tab.page.expect_download() as found:
        deploy.get_by_role("button", name="Download all").click()
    assert found.value.suggested_filename == f"{job}.zip"
    with zipfile.ZipFile(found.value.path()) as archive:
        assert archive.read("run_openvino.py") == data

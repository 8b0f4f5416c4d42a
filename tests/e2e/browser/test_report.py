"""report.html in a browser: makes no requests, is accessible, fits and prints completely."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.contracts.report import Report
from tests.fixtures.browser import PHONE, Tab
from tests.fixtures.reports import full_report, group, layer, least_report
from worker.pipeline.report.page import render_page

OpenTab = Callable[..., Any]
HOSTILE = "<script>window.hacked = true</script><img src=x onerror='window.hacked = true'>"
LONG = "features.denseblock4.denselayer16.a_module_with_a_very_long_name.conv.weight"
REPORTS: dict[str, Callable[[], Report]] = {
    "full": full_report,
    "least": least_report,
    "long names": lambda: full_report(
        groups=[group(LONG, 4096)], layers=[layer(LONG, 4096, 2048)], notes=["a" * 300]
    ),
}


def save(folder: Path, report: Report) -> Path:
    path = folder / "report.html"
    path.write_text(render_page(report), encoding="utf-8")
    return path


def show(tab: Tab, path: Path) -> None:
    tab.page.goto(path.as_uri())
    tab.page.get_by_role("heading", level=1).wait_for()
    tab.open_everything()


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("width", ["desktop", "phone"])
def test_the_report_is_accessible_and_fits_the_screen(
    open_tab: OpenTab, tmp_path: Path, width: str, name: str
) -> None:
    # axe-core is a script, which the report's own policy forbids.
    options: dict[str, Any] = {"bypass_csp": True}
    if width == "phone":
        options["viewport"] = PHONE
    path = save(tmp_path, REPORTS[name]())
    with open_tab(tmp_path.as_uri(), **options) as tab:
        show(tab, path)
        assert tab.barriers_in_both_themes() == []
        widths = tab.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert widths[0] <= widths[1], "the page is wider than the screen"


def test_the_report_makes_no_requests_and_runs_no_scripts(
    open_tab: OpenTab, tmp_path: Path
) -> None:
    report = full_report(
        notes=[HOSTILE], groups=[group(HOSTILE)], layers=[layer(HOSTILE)], device=HOSTILE
    )
    path = save(tmp_path, report)
    with open_tab(tmp_path.as_uri()) as tab:
        show(tab, path)
        tab.page.wait_for_timeout(200)
        assert [request.url for request in tab.requests] == [path.as_uri()]
        assert tab.page.evaluate("window.hacked") is None
        assert tab.page.get_by_text(HOSTILE).count() >= 3


def test_an_injected_script_does_not_run(open_tab: OpenTab, tmp_path: Path) -> None:
    path = save(tmp_path, full_report())
    path.write_text(path.read_text().replace("</body>", f"{HOSTILE}</body>"))
    expected = ("Content Security Policy",)
    with open_tab(tmp_path.as_uri(), expected=expected) as tab:
        show(tab, path)
        tab.page.wait_for_timeout(200)
        assert tab.problems, "the browser logs the blocked script"
        assert tab.page.evaluate("window.hacked") is None


def test_printing_includes_collapsed_parts(open_tab: OpenTab, tmp_path: Path) -> None:
    path = save(tmp_path, full_report())
    with open_tab(tmp_path.as_uri(), color_scheme="dark") as tab:
        tab.page.goto(path.as_uri())
        tab.page.emulate_media(media="print")
        ground = tab.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == "rgb(255, 255, 255)"
        hidden = tab.page.get_by_text("learning rate at its end")
        assert hidden.bounding_box() is not None, "collapsed parts are printed"
        assert len(tab.page.pdf()) > 10_000

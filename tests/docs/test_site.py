"""The documentation site builds without warnings and loads nothing from other hosts."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docs import generate_pictures
from tests.docs.blocks import ROOT

# What a browser loads by itself; links that a reader follows may lead anywhere.
LOADING = {"img": "src", "script": "src", "link": "href", "iframe": "src", "source": "src"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Loads(HTMLParser):
    """The addresses that a page makes a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        address = values.get(LOADING.get(tag, ""))
        if address and values.get("rel") not in {"canonical", "prev", "next"}:
            self.found.append(address)


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    num_loads = 0
    for page in pages:
        loads = Loads()
        loads.feed(page.read_text())
        num_loads += len(loads.found)
        foreign = [x for x in loads.found if re.match(r"(?:https?:)?//", x)]
        assert not foreign, f"{page.name}: {foreign}"
    assert num_loads > 400
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )['\"]?(?:https?:)?//", sheet.read_text()), sheet


def test_pages_hold_what_is_made_while_the_site_is_built(site: Path) -> None:
    config = (site / "reference/config.html").read_text()
    assert "steepness" in config
    assert "learning_rate" in config
    assert "POST /v1/jobs:plan" in (site / "reference/http.html").read_text()
    assert "float64_max_relative_error" in (site / "reference/report.html").read_text()
    assert "push_module" in (site / "reference/python.html").read_text()
    assert "CN113361702A" in (site / "how-pruning-works.html").read_text()
    assert "Report a vulnerability" in (site / "security.html").read_text()
    assert "<!-- not run" not in (site / "deploying.html").read_text()


def test_pictures_are_inline_and_say_what_they_show(site: Path) -> None:
    page = (site / "how-pruning-works.html").read_text()
    pictures = re.findall(r'<svg aria-label="([^"]+)"[^>]*class="picture"', page)
    assert len(pictures) == 4
    assert "<style>" not in page.split("</head>")[1]
    css = (site / "assets/pictures.css").read_text()
    used = set(re.findall(r"var\((--picture-\w+)\)", page))
    assert used
    for scheme in ("default", "slate"):
        rule = re.search(rf"\[data-md-color-scheme={scheme}\]{{(.*?)}}", css)
        assert rule is not None
        assert used <= set(re.findall(r"--picture-\w+", rule[1]))


def test_pictures_are_up_to_date() -> None:
    drawn = generate_pictures.render()
    kept = {path.name: path.read_text() for path in generate_pictures.TARGET.glob("*.svg")}
    assert kept == drawn, "run `python -m docs.generate_pictures`"

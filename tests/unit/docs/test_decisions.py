"""Decision records: one template, one number each, and a place in the site's navigation."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
DECISIONS = ROOT / "docs/decisions"
RECORDS = sorted(DECISIONS.glob("*.md"))
TEMPLATE = re.compile(
    r"# (?P<number>\d+)\. [A-Z].*[^.]\n\n"
    r"Date: 20\d\d-\d\d-\d\d\n\n"
    r"Status: (accepted|superseded by) ?.*\n\n"
    r"## Context\n\n(?P<context>.+?)\n\n"
    r"## Decision\n\n(?P<decision>.+?)\n\n"
    r"## Consequences\n\n(?P<consequences>.+)\n",
    re.DOTALL,
)


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_follows_the_template(path: Path) -> None:
    found = TEMPLATE.fullmatch(path.read_text(encoding="utf-8"))

    assert found, "see docs/decisions/0001-own-program-form.md for the template"
    assert path.name.startswith(f"{int(found['number']):04}-")
    assert path.read_text(encoding="utf-8").count("\n## ") == 3


def test_every_record_has_a_number_of_its_own() -> None:
    assert len({path.name[:4] for path in RECORDS}) == len(RECORDS)


def test_the_navigation_lists_every_record() -> None:
    # The site's hook replaces a folder with its pages.
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("nav:\n")[-1])
    inside = next(entry["Inside"] for entry in nav if "Inside" in entry)

    assert {"Decisions": "decisions/"} in inside


def test_every_mentioned_record_exists() -> None:
    names = {path.name for path in RECORDS}
    numbers = {int(name[:4]) for name in names}
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    sources = [p for folder in ("app", "secateur", "worker") for p in (ROOT / folder).rglob("*.py")]
    for path in (*pages, *sources):
        text = path.read_text(encoding="utf-8")
        for name in re.findall(r"\b(\d{4}-[a-z0-9-]+\.md)", text):
            assert name in names, f"{path} names {name}"
        for number in re.findall(r"\b(?:record|decision) (\d+)\b", text):
            assert int(number) in numbers, f"{path} names record {number}"

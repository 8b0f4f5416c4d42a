"""A stage is one record that determines its file, its share of the bar and the dashboard."""

import re
from pathlib import Path

import pytest

from app.contracts.job import Stage
from docs.generate_stages import TARGET, render
from worker.pipeline import stages

STAGES = [stage.value for stage in Stage]
ROOT = Path(__file__).parents[4]


def test_each_stage_has_a_file_of_its_name_and_there_is_no_other() -> None:
    files = {path.stem for path in Path(stages.__path__[0]).glob("*.py")} - {"__init__"}
    assert files == set(STAGES)


@pytest.mark.parametrize("share", ["percent", "search_percent"])
def test_the_stages_share_the_whole_progress_bar(share: str) -> None:
    assert sum(getattr(stage, share) for stage in Stage) == 100
    assert all(getattr(stage, share) > 0 for stage in Stage)


def test_a_stage_equals_its_name_and_has_a_description() -> None:
    assert all(stage.does for stage in Stage)
    assert Stage("verify") is Stage.VERIFY
    assert f"{Stage.VERIFY}" == "verify"


def test_the_dashboard_has_the_stages_of_today() -> None:
    assert TARGET.read_text() == render(), "run: python -m docs.generate_stages"


def test_the_architecture_page_describes_every_stage_in_order() -> None:
    page = (ROOT / "docs/architecture/07-pipeline-and-report.md").read_text()
    table = page[: page.index("## ")]
    assert re.findall(r"^\| (\w+) \|", table, re.MULTILINE) == ["stage", *STAGES]

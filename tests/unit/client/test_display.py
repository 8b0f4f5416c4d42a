"""Plans and jobs as tables."""

from typing import Any

from secateur.display import job_rows
from secateur.types import JobData, Plan
from secateur.types.tables import as_html
from tests.fixtures.shown import HOSTILE


def plan(**changes: Any) -> Plan:
    body: dict[str, Any] = {
        "config": {},
        "fingerprint": "",
        "dense": {"macs": 2000, "num_parameters": 100},
        "pruned": {"macs": 1000, "num_parameters": 25},
        "left": {"macs": 0.5, "num_parameters": 0.25},
        "groups": [{"name": "conv1.weight", "num_groups": 64, "num_kept": 48}],
        "criteria_agreement": {},
        "latency_trials": [],
        "warnings": [],
    }
    return Plan.model_validate(body | changes)


def test_a_plan_prints_as_a_table() -> None:
    lines = str(plan()).splitlines()
    assert lines[1].split() == ["MACs", "2,000", "1,000", "50.0%"]
    assert lines[3].split() == ["conv1.weight", "64", "48", "75%"]
    assert len({len(line) for line in lines}) == 1, "the columns are aligned"


def test_a_notebook_shows_names_as_text() -> None:
    group = {"name": HOSTILE, "num_groups": 1, "num_kept": 1}
    html = plan(groups=[group])._repr_html_()
    assert "<img" not in html
    assert "&lt;img" in html
    job: Any = JobData.model_construct
    job = job(id="job_1", status="queued", name=HOSTILE, error=None, result=None)
    assert "<img" not in as_html(job_rows(job))

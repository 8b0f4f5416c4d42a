"""Dockerfile, compose file and generated pages name only what exists."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
import yaml

from app.contracts.settings import Settings, _check_name
from app.contracts.tasks import QUEUES
from app.main import create_app
from docs import generate_errors, generate_settings
from tests.fixtures.api import RecordingQueue

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def commands() -> list[list[str]]:
    found = [json.loads(line[4:]) for line in DOCKERFILE.splitlines() if line.startswith("CMD [")]
    return found + [s["command"] for s in COMPOSE["services"].values() if "command" in s]


def test_every_setting_that_is_named_exists() -> None:
    text = DOCKERFILE + (ROOT / "docker-compose.yml").read_text()
    names = set(re.findall(r"SECATEUR_[A-Z0-9_]+", text))
    assert len(names) > 8
    for name in names:
        _check_name(name)
    with pytest.raises(ValueError, match="not a setting"):
        _check_name("SECATEUR_API__PROT")


def test_every_module_queue_and_target_that_is_named_exists() -> None:
    for command in commands():
        for module in re.findall(r"\b((?:app|worker)(?:\.\w+)+)", " ".join(command)):
            assert importlib.util.find_spec(module) is not None, module
        if "-Q" in command:
            assert set(command[command.index("-Q") + 1].split(",")) <= set(QUEUES)
    targets = set(re.findall(r"AS ([\w-]+)", DOCKERFILE))
    assert {"app", "worker", "worker-gpu"} <= targets
    for service in COMPOSE["services"].values():
        assert service.get("build", {}).get("target", "app") in targets


def test_all_queues_are_served_and_the_scheduler_runs_once() -> None:
    joined = [" ".join(map(str, command)) for command in commands()]
    served = {q for c in joined for q in re.findall(r"-Q ([\w,]+)", c)}
    assert {name for group in served for name in group.split(",")} == set(QUEUES)
    assert sum(c.endswith(" beat") for c in joined) == 1


def test_the_health_path_exists_and_nothing_runs_as_root() -> None:
    paths = set(re.findall(r"http://127\.0\.0\.1:8000(/\w+)", DOCKERFILE))
    app = create_app(Settings(), RecordingQueue())
    assert paths
    assert paths <= set(app.openapi()["paths"])
    for stage in DOCKERFILE.split("\nFROM ")[2:]:
        assert "USER secateur" in stage


def test_dependencies_of_services_exist() -> None:
    services = COMPOSE["services"]
    for service in services.values():
        assert set(service.get("depends_on", {})) <= set(services)
    assert services["redis"]["command"][-1] == "noeviction"


@pytest.mark.parametrize("page", [generate_settings, generate_errors])
def test_generated_pages_are_up_to_date(page: object) -> None:
    assert page.TARGET.read_text() == page.render()  # type: ignore[attr-defined]


def test_links_between_documents_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    assert len(pages) > 10
    for page in pages:
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
        for path in re.findall(
            r"`((?:docs|tests|examples|worker|app)/[\w./-]+\.\w+)`", page.read_text()
        ):
            assert (ROOT / path).exists() or (ROOT / "worker/engine" / path).exists(), path

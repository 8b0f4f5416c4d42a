"""Dockerfile, compose file and generated pages name only what exists."""

import importlib.util
import json
import re
import socket
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.cli import serve
from app.contracts.settings import Settings, check_name
from app.contracts.tasks import QUEUE_MAINTENANCE, QUEUES
from app.main import create_app
from docs import generate_errors, generate_metrics, generate_settings
from tests.fixtures.api import RecordingQueue

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVE_GPU = yaml.safe_load((ROOT / "docker-compose.serve-gpu.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"migrate", "bucket"}


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def stages() -> dict[str, str]:
    """Return the text of every stage of the Dockerfile by its name."""
    parts = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[1:]
    return {part.split("\n")[0].split(" AS ")[1]: part for part in parts}


def commands() -> list[list[str]]:
    found = [json.loads(line[4:]) for line in DOCKERFILE.splitlines() if line.startswith("CMD [")]
    found += [json.loads(match) for match in re.findall(r"HEALTHCHECK.*?CMD (\[.*\])", DOCKERFILE)]
    return found + [s["command"] for s in SERVICES.values() if "command" in s]


def test_every_setting_that_is_named_exists() -> None:
    text = DOCKERFILE + COMPOSE_TEXT
    names = set(re.findall(r"SECATEUR_[A-Z0-9_]+", text))
    assert len(names) > 8
    for name in names:
        check_name(name)
    with pytest.raises(ValueError, match="not a setting"):
        check_name("SECATEUR_API__PROT")


def test_every_module_queue_and_target_that_is_named_exists() -> None:
    for command in commands():
        for module in re.findall(r"\b((?:app|worker)(?:\.\w+)+)", " ".join(command)):
            assert importlib.util.find_spec(module) is not None, module
        if "-Q" in command:
            assert set(command[command.index("-Q") + 1].split(",")) <= set(QUEUES)
    targets = set(re.findall(r"AS ([\w-]+)", DOCKERFILE))
    assert {"app", "app-gpu", "worker", "worker-gpu"} <= targets
    for service in SERVICES.values():
        assert service.get("build", {}).get("target", "app") in targets


def test_all_queues_are_served_and_the_scheduler_runs_once() -> None:
    joined = [" ".join(map(str, command)) for command in commands()]
    served = {q for c in joined for q in re.findall(r"-Q ([\w,]+)", c)}
    assert {name for group in served for name in group.split(",")} == set(QUEUES)
    assert sum(c.endswith(" beat") for c in joined) == 1


def test_nothing_shares_a_worker_with_the_periodic_tasks(tmp_path: Path) -> None:
    with socket.socket() as listener:
        started = serve.commands(Settings(data_dir=tmp_path), listener)
        alone = serve.commands(Settings(data_dir=tmp_path), listener, has_worker=False)
    for argvs in (commands(), [c.argv for c in started], [c.argv for c in alone]):
        queues = [argv[argv.index("-Q") + 1].split(",") for argv in argvs if "-Q" in argv]
        assert [names for names in queues if QUEUE_MAINTENANCE in names] == [[QUEUE_MAINTENANCE]]


def test_the_health_paths_exist() -> None:
    paths = set(re.findall(r"http://127\.0\.0\.1:80[08]0(/\w+)", DOCKERFILE + COMPOSE_TEXT))
    app = create_app(Settings(), RecordingQueue())
    assert paths == {"/readyz", "/healthz"}
    assert paths <= set(app.openapi()["paths"])


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_runs_as_root_or_writes_where_it_need_not(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        user = re.findall(r"^USER (\w+)$", stages()[service["build"]["target"]], re.MULTILINE)[-1]
    else:
        user = service["user"]
        assert re.fullmatch(r"[\w./-]+:[\w.-]+", service["image"]), "an image has a tag"
        assert not service["image"].endswith(":latest")
    assert user not in {"root", "0"}
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in service["tmpfs"]  # noqa: S108  # in a container


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_limited_watched_and_restarted(name: str) -> None:
    service = SERVICES[name]
    limits = service["deploy"]["resources"]["limits"]
    assert re.fullmatch(r"\d+[MG]", limits["memory"])
    assert float(limits["cpus"]) > 0
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    if name in ONE_SHOT:
        assert "restart" not in service
        return
    assert service["restart"] == "unless-stopped"
    stage = stages()[service["build"]["target"]] if "build" in service else ""
    assert "healthcheck" in service or "HEALTHCHECK" in stage


def test_services_that_start_processes_have_an_init() -> None:
    for name in ("api", "worker", "worker-gpu", "intake", "scheduler"):
        assert SERVICES[name]["init"] is True


def test_the_api_can_have_replicas_behind_one_port() -> None:
    published = {name for name, service in SERVICES.items() if "ports" in service}
    assert published == {"proxy"}
    assert "container_name" not in COMPOSE_TEXT
    config = COMPOSE["configs"]["proxy"]["content"]
    assert "api:8000" in config
    port = SERVICES["proxy"]["ports"][0].rpartition(":")[2]
    assert f"listen {port};" in config
    assert "SECATEUR_API__PORT=8000" in stages()["app"]
    assert "$" not in config.replace("$$", ""), "Compose would fill it in"
    for source in SERVICES["proxy"]["configs"]:
        assert source["source"] in COMPOSE["configs"]


def test_volumes_and_profiles_are_there_and_used() -> None:
    mounts = [v for s in SERVICES.values() for v in s.get("volumes", []) if ":" in v]
    assert {mount.partition(":")[0] for mount in mounts} == set(COMPOSE["volumes"])
    assert [name for name, s in SERVICES.items() if "profiles" in s] == ["worker-gpu"]
    assert SERVICES["worker-gpu"]["profiles"] == ["gpu"]


def test_the_app_image_has_no_torch() -> None:
    assert "torch" not in stages()["app"] + stages()["base"]
    assert "torch" not in (ROOT / "requirements" / "app.txt").read_text()
    extras = project()["optional-dependencies"]
    names = {re.split(r"[^\w-]", line)[0] for line in project()["dependencies"] + extras["service"]}
    assert not {name for name in names if "torch" in name}
    assert any("torch" in line for line in extras["engine"])
    assert extras["worker"] == ["secateur[engine,service]"]


def test_files_that_are_copied_exist() -> None:
    for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), name
    for name in re.findall(r"COPY --from=([\w-]+)", DOCKERFILE):
        assert name in stages()


def test_variables_without_a_default_are_explained() -> None:
    required = set(re.findall(r"\$\{(\w+):\?\}", COMPOSE_TEXT))
    head = COMPOSE_TEXT.partition("x-settings")[0]
    assert required == {"POSTGRES_PASSWORD", "S3_ACCESS_KEY", "S3_SECRET_KEY"}
    for name in required | set(re.findall(r"\$\{(\w+):-", COMPOSE_TEXT)):
        assert name in head


def test_dependencies_of_services_exist_and_can_be_waited_for() -> None:
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            ends = how["condition"] == "service_completed_successfully"
            assert ends == (name in ONE_SHOT)
    assert SERVICES["redis"]["command"][-1] == "noeviction"


@pytest.mark.parametrize("page", [generate_settings, generate_errors, generate_metrics])
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
            assert (ROOT / path).exists() or (ROOT / "secateur/engine" / path).exists(), path


def test_images_install_what_is_pinned_by_hash_and_nothing_is_missing() -> None:
    extras = project()["optional-dependencies"]
    service = project()["dependencies"] + extras["service"]
    worker, runtimes = service + extras["engine"], set[str]()
    for image, dependencies, elsewhere in (
        ("app", service, {"onnxruntime-gpu"}),
        ("app-gpu", service, {"onnxruntime"}),
        ("worker", worker, {"torch", "torchvision", "onnxruntime-gpu"}),
        ("worker-gpu", worker, {"onnxruntime"}),
    ):
        text = (ROOT / "requirements" / f"{image}.txt").read_text()
        pinned = {}
        for entry in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
            name, version = re.match(r"([a-z0-9-]+)(?:\[[a-z]+\])?==(\S+)", entry).groups()  # type: ignore[union-attr]
            assert "--hash=sha256:" in entry, name
            pinned[name] = version
        wanted = {
            re.match(r"[a-z0-9-]+", re.sub("_", "-", d.lower())).group()  # type: ignore[union-attr]
            for d in dependencies
        }
        # They own one folder, so an image has one; and the same one everywhere, for equal results.
        assert len({"onnxruntime", "onnxruntime-gpu"} & pinned.keys()) == 1
        runtimes |= {pinned[n] for n in ("onnxruntime", "onnxruntime-gpu") if n in pinned}
        assert wanted - elsewhere <= pinned.keys(), f"run `make lock` ({image})"
        assert not elsewhere & pinned.keys()
        stage = stages()[image]
        assert f"pip install --require-hashes -r requirements/{image}.txt" in stage
        installs = re.findall(r"pip install (.*)", stage)
        assert all("--require-hashes" in line or "--no-deps" in line for line in installs)
    assert len(runtimes) == 1


def test_the_image_that_serves_from_a_gpu_is_the_app_with_another_provider() -> None:
    own = [line for line in stages()["app-gpu"].splitlines()[1:] if line.strip()]
    app = stages()["app"]
    differing = [line for line in own if line not in app]
    assert [line.split()[0] for line in differing] == ["RUN", "ENV", "HEALTHCHECK"]
    assert differing[1].endswith(" SECATEUR_INFERENCE__PROVIDER=cuda")
    assert "torch" not in (ROOT / "requirements" / "app-gpu.txt").read_text()
    (api,) = SERVE_GPU["services"].values()
    assert api["build"]["target"] == "app-gpu"
    assert SERVE_GPU["services"].keys() <= SERVICES.keys()
    (device,) = api["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


def test_what_is_audited_and_listed_covers_every_image() -> None:
    makefile = (ROOT / "Makefile").read_text()
    audited, listed = (
        set(names.split()) for names in re.findall(r"for image in ([\w -]+); do", makefile)
    )
    images = {path.stem for path in (ROOT / "requirements").glob("*.txt")} - {"constraints"}
    assert listed == images
    # worker's packages are those of worker-gpu, and the onnxruntime of app.
    assert audited == images - {"worker"}


def test_the_demo_installs_what_it_needs_and_no_tools_for_tests() -> None:
    makefile = (ROOT / "Makefile").read_text()
    needs = dict(re.findall(r"^(\w+): (.*?) ##", makefile, re.MULTILINE))
    assert needs["demo"] == needs["serve"] == "$(WORKER)"
    assert needs["install"] == "$(DEV)"
    assert "install" in needs["check"]
    extras = dict(re.findall(r"\.ci/install ([\w,]+) (\d+)", makefile))
    assert list(extras) == ["worker", "worker,dev"]
    for names in extras:
        assert set(names.split(",")) <= project()["optional-dependencies"].keys()
    # Whoever has installed everything installs nothing again for the demo.
    assert "touch $(WORKER) $(DEV)" in makefile


def test_workers_have_ports_for_their_metrics_which_are_not_published(tmp_path: Path) -> None:
    assert SERVICES["worker"]["environment"]["SECATEUR_WORKER__METRICS_PORT"] == "9100"
    assert not any("9100" in str(service.get("ports")) for service in SERVICES.values())
    settings = Settings.model_validate({"data_dir": tmp_path, "worker": {"metrics_port": 9100}})
    with socket.socket() as listener:
        started = serve.commands(settings, listener)
    name = "SECATEUR_WORKER__METRICS_PORT"
    ports = {c.name: c.environment[name] for c in started if name in c.environment}
    assert ports == {"worker": "9100", "intake": "9101", "maintenance": "9102"}

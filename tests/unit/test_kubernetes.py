"""The Kubernetes manifests: valid, closed, and with times that agree with the settings."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.contracts.settings import SECRETS, Settings, check_name
from app.contracts.tasks import QUEUES
from app.main import create_app
from tests.fixtures.api import RecordingQueue

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.30", "1.37")  # the oldest and the newest that are checked
OVERLAYS = ("base", "overlays/gpu", "overlays/serve-gpu", "overlays/keda")

# Seconds that the processes need besides what the settings say.
COPY_SECONDS = 60  # a checkpoint on its way to the store
SPARE_SECONDS = 5


def documents(folder: Path) -> list[dict[str, Any]]:
    """Return the resources that the files of a folder define, as they are written."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    files = [folder / name for name in kustomization["resources"] if name.endswith(".yaml")]
    return [found for file in files for found in yaml.safe_load_all(file.read_text())]


BASE = documents(FOLDER / "base")
ENVIRONMENT = dict(
    line.split("=", 1) for line in (FOLDER / "base" / "settings.env").read_text().splitlines()
)


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {d["metadata"]["name"]: d for d in BASE if d["kind"] == kind}


def pod_of(workload: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


WORKLOADS = named("Deployment") | named("Job")
PODS = {name: pod_of(workload) for name, workload in WORKLOADS.items()}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The settings of the pods."""
    for name, value in ENVIRONMENT.items():
        if name.endswith("_FILE"):
            secret = tmp_path / Path(value).name
            secret.write_text("secret")
            monkeypatch.setenv(name, str(secret))
        else:
            monkeypatch.setenv(name, value)
    return Settings()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_resource_is_valid(version: str) -> None:
    for document in BASE:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_kustomize_builds_the_base_and_the_overlays(name: str) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:  # no package of Debian's builds these files
        pytest.skip("kubectl is not installed")
    built = subprocess.run(
        [kubectl, "kustomize", str(FOLDER / name)], capture_output=True, text=True, check=True
    )
    found = [d for d in yaml.safe_load_all(built.stdout) if "keda.sh" not in d["apiVersion"]]
    assert len(found) >= len(BASE)
    for document in found:
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
    workers = [d for d in found if d["kind"] == "Deployment" and d["metadata"]["name"] == "worker"]
    container = workers[0]["spec"]["template"]["spec"]["containers"][0]
    assert ("replicas" in workers[0]["spec"]) == (name != "overlays/keda")
    assert container["securityContext"]["readOnlyRootFilesystem"]
    (config,) = [d for d in found if d["kind"] == "ConfigMap"]
    if name == "overlays/gpu":
        assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
        assert container["image"].startswith("registry.example.com/secateur-worker-gpu:")
        assert config["data"]["SECATEUR_WORKER__DEVICE"] == "cuda"


def test_the_api_on_gpus_has_an_image_and_a_device_of_its_own() -> None:
    folder = FOLDER / "overlays" / "serve-gpu"
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    (literal,) = kustomization["configMapGenerator"][0]["literals"]
    name, _, value = literal.partition("=")
    check_name(name)
    assert Settings(inference={"provider": value}).inference.provider == "cuda"  # type: ignore[arg-type]
    patch = yaml.safe_load((folder / "api.yaml").read_text())
    (container,) = pod_of(patch)["containers"]
    (image,) = kustomization["images"]
    assert container["image"] == image["name"] == "secateur-app-gpu"
    assert container["name"] in {each["name"] for each in PODS["api"]["containers"]}
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    rolling = patch["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxUnavailable": 1, "maxSurge": 0}, "a new pod waits for a free GPU"


def test_every_setting_exists_and_every_secret_is_a_file(settings: Settings) -> None:
    for name in ENVIRONMENT:
        if name.startswith("SECATEUR_"):
            check_name(name)
    for group, name in SECRETS:
        assert f"SECATEUR_{group}__{name}_FILE".upper() in ENVIRONMENT
    assert settings.http.leave_seconds > 0


def test_the_graces_leave_time_for_what_the_settings_say(settings: Settings) -> None:
    http, worker = settings.http, settings.worker
    grace = {name: pod.get("terminationGracePeriodSeconds") for name, pod in PODS.items()}
    assert grace["api"] >= http.leave_seconds + http.stop_seconds + SPARE_SECONDS
    soft = worker.cancel_grace_seconds + 5  # worker_soft_shutdown_timeout
    for name in ("worker", "intake"):
        assert grace[name] >= soft + COPY_SECONDS + SPARE_SECONDS
    assert grace["maintenance"] >= settings.webhooks.timeout_seconds + soft + SPARE_SECONDS


def test_the_balancer_finds_out_before_the_port_closes(settings: Settings) -> None:
    (api,) = PODS["api"]["containers"]
    probe = api["readinessProbe"]
    until_noticed = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert settings.http.leave_seconds > until_noticed
    assert "lifecycle" not in api, "leave_seconds does what a preStop hook would"
    paths = {api[p]["httpGet"]["path"] for p in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert paths == {"/healthz", "/readyz"}
    assert paths <= set(create_app(Settings(), RecordingQueue()).openapi()["paths"])
    assert api["livenessProbe"]["httpGet"]["path"] == "/healthz", "a database that is away"


@pytest.mark.parametrize("name", PODS)
def test_no_pod_runs_as_root_or_writes_where_it_need_not(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert pod["shareProcessNamespace"] is True
    uid = re.search(r"--uid (\d+)", (ROOT / "Dockerfile").read_text())
    assert uid is not None
    assert pod["securityContext"]["runAsUser"] == int(uid[1])
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"]
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        resources = container["resources"]
        assert resources["limits"]["memory"] == resources["requests"]["memory"]
        assert "livenessProbe" not in container or name in {"api", "scheduler"}


def test_every_queue_of_the_base_has_workers_and_the_scheduler_runs_once() -> None:
    commands = [c.get("command", []) for pod in PODS.values() for c in pod["containers"]]
    served = {command[command.index("-Q") + 1] for command in commands if "-Q" in command}
    assert served == set(QUEUES) - {"gpu"}
    scheduler = WORKLOADS["scheduler"]["spec"]
    assert (scheduler["replicas"], scheduler["strategy"]["type"]) == (1, "Recreate")
    assert WORKLOADS["intake"]["spec"]["replicas"] == 2
    assert sum("beat" in command for command in commands) == 1


def test_the_api_scales_and_is_never_drained_at_once() -> None:
    (scaler,) = named("HorizontalPodAutoscaler").values()
    assert scaler["spec"]["scaleTargetRef"]["name"] == "api"
    assert scaler["spec"]["minReplicas"] >= 2
    assert "replicas" not in WORKLOADS["api"]["spec"], "the autoscaler's number would be reset"
    (budget,) = named("PodDisruptionBudget").values()
    assert budget["spec"]["maxUnavailable"] == 1
    assert WORKLOADS["api"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_only_the_api_is_open_and_nobody_reads_the_metadata_of_the_cloud() -> None:
    policies = named("NetworkPolicy")
    (open_ports,) = policies["api"]["spec"]["ingress"]
    assert open_ports == {"ports": [{"port": 8000}]}
    default = policies["default"]["spec"]
    assert default["podSelector"] == {}
    (monitoring,) = default["ingress"]
    assert monitoring["ports"] == [{"port": int(ENVIRONMENT["SECATEUR_WORKER__METRICS_PORT"])}]
    (egress,) = default["egress"]
    first = next(peer["ipBlock"] for peer in egress["to"] if "ipBlock" in peer)
    assert first["except"] == ["169.254.0.0/16"]


def test_keda_scales_the_workers() -> None:
    scaled = documents(FOLDER / "overlays" / "keda")[0]
    assert scaled["spec"]["scaleTargetRef"]["name"] == "worker"
    trigger = scaled["spec"]["triggers"][0]
    assert trigger["type"] == "postgresql"  # tests/contract/test_levers.py runs its query


def test_the_page_names_the_numbers_of_the_files() -> None:
    page = (ROOT / "docs" / "kubernetes.md").read_text()
    for name in ("HTTP__LEAVE_SECONDS", "HTTP__STOP_SECONDS", "WORKER__CANCEL_GRACE_SECONDS"):
        assert f"`{name}` {ENVIRONMENT[f'SECATEUR_{name}']} |" in page
    for name, pod in PODS.items():
        if "terminationGracePeriodSeconds" in pod:
            (row,) = re.findall(rf"grace (\d+) s \|[^|]*`{name}`", page)
            assert int(row) == pod["terminationGracePeriodSeconds"], name

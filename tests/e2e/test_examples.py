"""The examples, run as scripts with small inputs and a real service."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples.packages import EFFICIENTNET_LITE0, FACENET, DataUnavailableError, Package, wheel
from tests.fixtures.commands import run_command
from tests.fixtures.pages import read_page
from tests.fixtures.service import Service, images, npz_bytes, serving, trained_model_bytes

ROOT = Path(__file__).parents[2]
SCRIPTS = "client demo detector efficientnet_lite0 export_model notebook train_resnet20".split()
SECONDS = 900


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("service") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of user images."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for number in range(64):
        pixels = random.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((40, 40)).save(folder / f"{number}.png")
    return folder


def run(
    command: list[str], folder: Path, service: Service | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "COLUMNS": "200", **environment}
    if service is not None:
        variables |= {"SECATEUR_URL": service.url, "SECATEUR_KEY": service.key}
    return subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip


def script(name: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run an example as ``python -m`` does in the repository's root."""
    variables = {**os.environ, "COLUMNS": "200", **environment}
    return run_command(f"examples.{name}", [name, *arguments], ROOT, variables, seconds=SECONDS)


def example(name: str, folder: Path, service: Service, *arguments: object) -> str:
    """Run an example in the repository's root and return its output; files go to ``out``."""
    place = {"SECATEUR_URL": service.url, "SECATEUR_KEY": service.key}
    done = script(name, "--out", folder / "out", *arguments, **place)
    assert done.returncode == 0, done.stderr
    return done.stdout


def needs(package: Package) -> None:
    try:
        wheel(package).close()
    except DataUnavailableError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))


@pytest.fixture
def small_files(tmp_path: Path) -> Path:
    x, y = images()
    (tmp_path / "model.pt2").write_bytes(trained_model_bytes())
    (tmp_path / "my data.npz").write_bytes(npz_bytes(x=x, y=y))
    Image.fromarray(x[0]).save(tmp_path / "image.png")
    return tmp_path


def curl(folder: Path, service: Service, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "examples" / "curl.sh"), "model.pt2", "my data.npz", "image.png", "out"]
    return run(command, folder, service, **environment)


def test_curl_runs_the_complete_workflow(service: Service, small_files: Path) -> None:
    config = (
        '{"selection": {"mode": "budget", "macs": 0.6, "round_to": 1}, "retrain": {"epochs": 1}}'
    )
    done = curl(small_files, service, CONFIG=config, PREPROCESS='{"mean": [0.1], "std": [0.9]}')
    assert done.returncode == 0, done.stderr
    assert "succeeded package" in done.stdout
    assert "base predicts: " in done.stdout
    assert "pruned predicts: " in done.stdout
    out = small_files / "out"
    assert {"model.onnx", "pruned.pt2", "report.html", "manifest.json"} <= {
        path.name for path in out.iterdir()
    }
    read_page((out / "report.html").read_text())


def test_curl_shows_the_services_error(service: Service, small_files: Path) -> None:
    done = curl(small_files, service, CONFIG='{"selection": {"mode": "budgt"}}')
    assert done.returncode == 1
    assert "did you mean 'budget'?" in done.stderr
    done = curl(small_files, service, CONFIG='{"selection": {"mode": "budget", "macs": 0.0001}}')
    assert done.returncode == 1
    assert "plan_impossible" in done.stderr


def test_the_notebook_prunes_and_saves_figures(service: Service, tmp_path: Path) -> None:
    printed = example("notebook", tmp_path, service, "--num-images", 256, "--epochs", 1)
    assert "epoch 1: validation" in printed
    assert "both networks agree on" in printed
    for name in ("saliency", "retraining", "answers"):
        with Image.open(tmp_path / "out" / f"{name}.png") as picture:
            assert picture.width > 800


def test_a_pruned_detector_keeps_both_outputs(service: Service, tmp_path: Path) -> None:
    options = ("--network", "own", "--steps", 150, "--epochs", 2)
    printed = example("detector", tmp_path, service, *options)
    assert "boxes: " in printed
    assert "scores: " in printed
    truths = re.findall(r"against the true boxes: (\S+)% of classes .* boxes (\S+)%", printed)
    assert len(truths) == 2, "of the dense and the pruned network"
    assert all(float(right) > 60 and float(overlap) > 40 for right, overlap in truths)
    boxes = float(printed.split("boxes: relative error ")[1].split("%")[0])
    assert boxes < 15
    read_page((tmp_path / "out" / "report.html").read_text())


def test_mtcnn_is_pruned_with_user_images(service: Service, tmp_path: Path, pictures: Path) -> None:
    needs(FACENET)
    printed = example("detector", tmp_path, service, "--images", pictures, "--epochs", 1)
    assert "mtcnn-rnet, 50% of the MACs" in printed
    assert "the same best class for" in printed


def test_efficientnet_is_pruned_with_user_images(
    service: Service, tmp_path: Path, pictures: Path
) -> None:
    needs(EFFICIENTNET_LITE0)
    size = ("--image-size", 32, "--batch-size", 8, "--epochs", 1, "--learning-rate", 0.001)
    printed = example("efficientnet_lite0", tmp_path, service, "--images", pictures, *size)
    assert "EfficientNet-Lite0, 32 pixels, 50% of the MACs" in printed
    assert (tmp_path / "out" / "weights.safetensors").exists()


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_has_help(name: str) -> None:
    done = script(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: ")
    assert "Traceback" not in done.stderr


def test_curl_lists_its_requirements(tmp_path: Path) -> None:
    script = str(ROOT / "examples" / "curl.sh")
    assert "Needs curl" in run([script, "--help"], tmp_path).stdout
    done = run([script, "model.pt2"], tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    done = run([script, "a", "b", "c"], tmp_path, SECATEUR_KEY="")
    assert done.returncode == 2
    assert "SECATEUR_KEY is not set" in done.stderr


@pytest.mark.parametrize(
    ("name", "options"),
    [("detector", ["--network", "own", "--steps", "1"]), ("efficientnet_lite0", ["--images", "."])],
)
def test_a_missing_service_is_reported_in_one_line(
    name: str, options: list[str], tmp_path: Path, pictures: Path
) -> None:
    if name == "efficientnet_lite0":
        needs(EFFICIENTNET_LITE0)
        options = ["--images", str(pictures), "--image-size", "32"]
    nowhere = {"SECATEUR_URL": "http://127.0.0.1:9", "SECATEUR_KEY": "sec_x"}
    done = script(name, "--out", tmp_path, *options, **nowhere)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(f"{name}: ")
    assert "Traceback" not in done.stderr

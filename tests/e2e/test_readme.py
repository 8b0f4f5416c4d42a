"""The README's commands, run as they are written."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.contracts.spec import PruneConfig
from tests.fixtures.networks import SmallNet
from tests.fixtures.service import Service, images, npz_bytes, serving

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(language: str, containing: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return next(text for text in found if containing in text)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with serving(tmp_path / "data") as found:
        yield found


def test_the_walk_through_works_as_written(service: Service, tmp_path: Path) -> None:
    torch.manual_seed(0)
    code = block("python", "torch.export.save").replace("model.pt2", str(tmp_path / "model.pt2"))
    names = {"torch": torch, "model": SmallNet(16), "example": torch.randn(2, 1, 8, 8)}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102  # our own README
    x, y = images()
    (tmp_path / "data.npz").write_bytes(npz_bytes(x=x, y=y))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "image.png")
    script = block("bash", "1. Model").replace("http://127.0.0.1:8000", service.url)
    environment = {"SECATEUR_KEY": service.key, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "num_parameters" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["labels"][0][0].keys() == {
        "label",
        "index",
        "score",
    }


def test_the_config_in_the_readme_is_the_default() -> None:
    shown = json.loads(block("json", '"criterion"'))
    assert shown == PruneConfig().model_dump(mode="json")


def test_the_tree_in_the_readme_is_the_tree() -> None:
    root = Path(__file__).parents[2]
    tree = README.split("## Where things are")[1]
    for name in re.findall(r"^\s*((?:\w+/ ?)+)", tree, re.MULTILINE):
        for folder in name.split():
            assert list(root.rglob(folder)), folder

"""Scripts of export targets: hostile names stay names, and images are read as the service does."""

import ast
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app.contracts.images import decode_image
from app.contracts.placement import Fit
from secateur.engine.export.targets.snippet import read_image
from secateur.engine.export.targets.target import Preprocess
from secateur.engine.export.targets.targets import TARGETS

HOSTILE = "x; rm -rf $HOME `id` 'y' \"z\""
PREPROCESS = Preprocess((8, 8), 3, "stretch", 1 / 255, (0.5,), (0.25,))


def script(
    name: str, preprocess: Preprocess | None = PREPROCESS, batch_size: int | None = None
) -> str:
    source: Any = SimpleNamespace(
        program=SimpleNamespace(input_names=(HOSTILE,), batch_size=batch_size),
        onnx=Path("model.onnx"),
        shapes=[[1, 3, 8, 8]],
        pt2="pruned.pt2",
    )
    write = TARGETS[name].write_script
    assert write is not None
    return write(source, preprocess)


def test_a_hostile_name_is_one_word_of_a_shell_script() -> None:
    words = shlex.split(script("tensorrt"), comments=True)
    assert f"--minShapes={HOSTILE}:1x3x8x8" in words
    assert f"{HOSTILE}=[1,3,8,8]" in shlex.split(script("hailo"), comments=True)


def test_a_hostile_name_is_a_string_of_a_python_script() -> None:
    strings = [n.value for n in ast.walk(ast.parse(script("rknn"))) if isinstance(n, ast.Constant)]
    assert HOSTILE in strings


def test_a_script_without_images_scales_nothing() -> None:
    assert "mean_values" not in script("rknn", None)
    assert "normalization" not in script("hailo", None)


@pytest.mark.parametrize("fit", ["stretch", "letterbox", "pad"])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "LA"])
@pytest.mark.parametrize("num_channels", [1, 3])
def test_a_snippet_reads_an_image_as_the_service_does(
    tmp_path: Path, fit: Fit, mode: str, num_channels: int
) -> None:
    path = tmp_path / "image.png"
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 4)).astype(np.uint8)
    image = Image.fromarray(pixels).convert("RGB" if mode == "P" else mode).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by the camera
    image.save(path, exif=exif)
    expected = decode_image(path.read_bytes(), 10**6).pixels(num_channels, (24, 32), fit)
    found = read_image(str(path), (24, 32), fit, "L" if num_channels == 1 else "RGB")
    np.testing.assert_array_equal(found, expected)


def test_a_batch_that_stays_fixed_needs_no_profile() -> None:
    assert "minShapes" in script("tensorrt")
    text = script("tensorrt", batch_size=1)
    assert "Shapes" not in text
    assert "The batch of 1 is part of the network" in text

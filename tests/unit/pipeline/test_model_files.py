"""One network in every model format is recognised and read as the same program."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from app.contracts.settings import LimitSettings
from app.contracts.spec import ArchitectureSpec
from secateur.core.files import check_path
from secateur.core.formats import MODEL_FORMATS
from secateur.engine.errors import ModelRejectedError
from secateur.engine.export.onnx import export_onnx
from secateur.engine.program.exported import export, from_exported
from secateur.engine.program.module import ProgramModule
from tests.fixtures.jobs import model_input, save_model
from tests.fixtures.networks import randomise
from worker.pipeline.job.model_files import read_model

NAME, SIZE = "timm/test_resnet", 32
ARCHITECTURE = ArchitectureSpec(name=NAME, num_classes=5, image_size=SIZE)


def write_pt2(model: nn.Module, path: Path) -> None:
    save_model(model, (torch.rand(2, 3, SIZE, SIZE),), path)


def write_safetensors(model: nn.Module, path: Path) -> None:
    save_file(model.state_dict(), path)


def write_onnx(model: nn.Module, path: Path) -> None:
    export_onnx(from_exported(export(model, (torch.rand(2, 3, SIZE, SIZE),))), path)


# By format: what writes a file of it, and what goes beside the file.
FILES: dict[str, tuple[Callable[[nn.Module, Path], None], dict[str, Any]]] = {
    "pt2": (write_pt2, {}),
    "safetensors": (write_safetensors, {"architecture": ARCHITECTURE}),
    "onnx": (write_onnx, {}),
}


@pytest.mark.parametrize("name", MODEL_FORMATS)
def test_every_format_gives_the_same_network(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = randomise(timm.create_model("test_resnet", num_classes=5)).eval()
    path = tmp_path / "net"
    write, beside = FILES[name]
    write(model, path)
    assert check_path(path, "model").name == name
    program = read_model(model_input(path, format=name, **beside), LimitSettings())
    x = torch.rand(3, 3, SIZE, SIZE)
    with torch.no_grad():
        found, wanted = ProgramModule(program).eval()(x), model(x)
    # The exporter folds BatchNorm into convolutions.
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5 if name == "onnx" else 0)


def test_a_format_without_a_reader_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRejectedError, match=r"a model file is .*, not 'gguf'"):
        read_model(model_input(tmp_path / "net", format="gguf"), LimitSettings())


def test_weights_without_an_architecture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRejectedError, match="architecture"):
        read_model(model_input(tmp_path / "net", format="safetensors"), LimitSettings())

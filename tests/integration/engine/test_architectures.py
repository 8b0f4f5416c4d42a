"""Programs from weights and an architecture's name equal the original module."""

import json
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from secateur.engine.errors import ModelRejectedError
from secateur.engine.program.architectures import Architecture, read_weights
from secateur.engine.program.module import ProgramModule
from tests.fixtures.networks import randomise

SIZE = 64


def saved(model: nn.Module, path: Path) -> Path:
    save_file({k: t.contiguous() for k, t in model.state_dict().items()}, path)
    return path


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, Path]:
    torch.manual_seed(0)
    model = randomise(torchvision.models.resnet18(num_classes=5))
    return model, saved(model, tmp_path_factory.mktemp("weights") / "resnet18.safetensors")


def test_torchvision_weights_become_the_same_network(resnet: tuple[nn.Module, Path]) -> None:
    model, path = resnet
    program = read_weights(path, Architecture("torchvision/resnet18", 5, image_size=SIZE))
    x = torch.randn(3, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(ProgramModule(program).eval()(x), model(x))


def test_timm_weights_become_the_same_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = randomise(timm.create_model("mobilenetv3_small_050", num_classes=7, in_chans=1))
    path = saved(model, tmp_path / "m.safetensors")
    architecture = Architecture("timm/mobilenetv3_small_050", 7, in_channels=1, image_size=SIZE)
    x = torch.randn(2, 1, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(ProgramModule(read_weights(path, architecture)).eval()(x), model(x))


@pytest.mark.parametrize(
    ("name", "num_classes", "reason"),
    [
        ("torchvision/resnet34", 5, "not those of torchvision/resnet34: missing"),
        ("torchvision/resnet18", 6, "fc.weight is \\(5, 512\\), not \\(6, 512\\)"),
        ("torchvision/resnet999", 5, "torchvision has no model 'resnet999'"),
        ("torchvision/ResNet-18", 5, "did you mean 'resnet18'"),
        ("timm/hf-hub:someone/model", 5, "timm has no model"),
        ("timm/local-dir:.", 5, "timm has no model"),
        ("os/system", 5, "neither"),
    ],
)
def test_other_weights_and_unknown_names_are_refused(
    name: str, num_classes: int, reason: str, resnet: tuple[nn.Module, Path]
) -> None:
    with pytest.raises(ModelRejectedError, match=reason):
        read_weights(resnet[1], Architecture(name, num_classes, image_size=SIZE))


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = torchvision.models.squeezenet1_1(num_classes=3)
    with torch.no_grad():
        next(model.parameters())[0] = float("nan")
    path = saved(model, tmp_path / "w.safetensors")
    with pytest.raises(ModelRejectedError, match="NaN"):
        read_weights(path, Architecture("torchvision/squeezenet1_1", 3, image_size=SIZE))


def test_too_small_an_image_size_is_refused(tmp_path: Path) -> None:
    model = torchvision.models.squeezenet1_1(num_classes=3)
    path = saved(model, tmp_path / "w.safetensors")
    with pytest.raises(ModelRejectedError, match="cannot be exported for images of 8 pixels"):
        read_weights(path, Architecture("torchvision/squeezenet1_1", 3, image_size=8))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04pickle",
        (2**63).to_bytes(8, "little") + b"{}",
        (40).to_bytes(8, "little") + b"{" * 40,
        (100).to_bytes(8, "little") + json.dumps({"a": {"dtype": "F32"}}).encode(),
    ],
)
def test_a_damaged_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(ModelRejectedError, match="not a safetensors file"):
        read_weights(path, Architecture("torchvision/resnet18"))

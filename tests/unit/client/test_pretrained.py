"""Names of libraries' networks, and the errors of those that cannot be loaded."""

import sys

import pytest

from secateur.errors import SecateurError
from secateur.pretrained import is_name, load_pretrained


@pytest.mark.parametrize("text", ["timm/resnet50", "torchvision/resnet18", "hf:owner/name"])
def test_a_name_starts_with_its_library(text: str) -> None:
    assert is_name(text)


@pytest.mark.parametrize("text", ["resnet50", "timm/", "hf:", "folder/model.pt2", "/timm/resnet50"])
def test_other_texts_are_no_names(text: str) -> None:
    assert not is_name(text)


def test_an_unknown_library_is_refused_with_examples() -> None:
    with pytest.raises(SecateurError, match="not a name such as timm/resnet50"):
        load_pretrained("keras/resnet50")


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SecateurError, match="pip install timm"):
        load_pretrained("timm/resnet50")


def test_a_hub_that_cannot_be_reached_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SecateurError, match="hf:owner/name cannot be loaded"):
        load_pretrained("hf:owner/name")


def test_weights_that_are_not_safetensors_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_exists", lambda *_, **__: False)
    with pytest.raises(SecateurError, match="other formats may run code"):
        load_pretrained("hf:owner/name")


def test_a_network_without_one_image_size_is_to_be_exported_by_hand() -> None:
    name = "fasterrcnn_mobilenet_v3_large_fpn"
    with pytest.raises(SecateurError, match="not a classifier of one image size"):
        load_pretrained(f"torchvision/{name}")


@pytest.mark.parametrize(
    ("name", "near"),
    [("torchvision/resnet81", "torchvision/resnet18"), ("timm/resnet500", "timm/resnet50")],
)
def test_an_unknown_network_is_refused_with_a_similar_name(name: str, near: str) -> None:
    with pytest.raises(SecateurError, match=f"has no network .*did you mean {near}"):
        load_pretrained(name)

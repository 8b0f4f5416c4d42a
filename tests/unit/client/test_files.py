"""Kinds of files are recognised by their first bytes, and refusals give advice."""

from pathlib import Path

import pytest
import torch
from torch import nn

from secateur.core.file_kinds import FILE_KINDS
from secateur.core.files import WrongFileError, check, check_beginning, check_path, kind_of
from secateur.core.folders import pack_folder
from secateur.core.formats import FORMATS, Use
from secateur.errors import UnsupportedFileError
from tests.fixtures.files import FILES, zip_bytes

TAKEN = {use: {each.name for each in formats} for use, formats in FORMATS.items()}

# Bytes are no names: pytest-xdist compares what its processes collect.
NAMES = [f"{number}-{name}" for number, (name, _) in enumerate(FILES)]


@pytest.mark.parametrize(("name", "data"), FILES, ids=NAMES)
def test_a_file_is_known_by_its_bytes(name: str, data: bytes) -> None:
    kind = kind_of(data, data)
    assert kind is not None
    assert kind.name == name


@pytest.mark.parametrize("use", ["model", "dataset"])
@pytest.mark.parametrize(("name", "data"), FILES, ids=NAMES)
def test_only_readable_kinds_of_file_are_accepted(name: str, data: bytes, use: Use) -> None:
    if name in TAKEN[use]:
        assert check(data, data, use).name == name
        check_beginning(data, use)
        return
    with pytest.raises(WrongFileError, match=r"^it\.bin is ") as caught:
        check(data, data, use, "it.bin")
    assert "a model is" in str(caught.value).lower() or "a data set is" in str(caught.value).lower()


def test_refused_kinds_have_a_sample_file_and_advice() -> None:
    tried = {name for name, _ in FILES}
    assert {kind.name for kind in FILE_KINDS if kind.use is None} <= tried
    silent = {kind.name for kind in FILE_KINDS if kind.use is None and not kind.advice}
    assert silent <= {"office", "zip", "sqlite", "program", "pdf"}


def test_files_written_by_torch_are_recognised(tmp_path: Path) -> None:
    net = nn.Conv2d(1, 1, 1)
    torch.save(net.state_dict(), tmp_path / "weights.pth")
    torch.save(net, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.warns(FutureWarning, match="jit"):
        torch.jit.script(net).save(tmp_path / "script.pt")
    for name, words in (
        ("weights.pth", "load_state_dict"),
        ("old.pt", "pickle"),
        ("script.pt", "Python class"),
    ):
        with pytest.raises(WrongFileError, match=words) as caught:
            check_path(tmp_path / name, "model")
        assert "torch.export.save" in str(caught.value)


def test_a_body_is_refused_early_only_if_later_bytes_cannot_change_that() -> None:
    with pytest.raises(WrongFileError, match="PyTorch pickle"):
        check_beginning(zip_bytes(b"archive/data.pkl"), "model")
    check_beginning(zip_bytes(b"m/archive_format"), "model")
    check_beginning(b"only text so far", "model")
    check_beginning(b"", "model")


def test_empty_files_and_folders_are_recognised(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(WrongFileError, match=r"^empty is empty"):
        check_path(tmp_path / "empty", "model")
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "model.safetensors").write_bytes(b"x")
    with pytest.raises(WrongFileError, match="Hugging Face"):
        check_path(tmp_path / "vit", "model")
    (tmp_path / "images" / "cat").mkdir(parents=True)
    with pytest.raises(WrongFileError, match="zip -r"):
        check_path(tmp_path / "images", "dataset")


def test_folders_without_images_are_refused_by_their_contents(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    with pytest.raises(UnsupportedFileError, match="photos is an empty folder"):
        pack_folder(folder, tmp_path)
    (folder / "notes.txt").write_text("no image")
    with pytest.raises(UnsupportedFileError, match="has no images; its first file is"):
        pack_folder(folder, tmp_path)

"""Weights in files beside the ONNX file, in its folder or in a zip with it."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import secateur
from secateur.core.files import check_path
from secateur.core.onnx_bundle import MissingWeightsError, bundled
from secateur.engine.errors import ModelRejectedError
from secateur.engine.onnx_in.reader import read_onnx
from secateur.engine.program.limits import ModelLimits
from tests.fixtures.onnx_graphs import drawn, network, node

WEIGHTS = {"w": drawn(8, 3, 3, 3), "v": drawn(4, 8, 3, 3)}
Edit = Callable[[onnx.ModelProto], object]


def written(folder: Path, location: str = "model.onnx.data", edit: Edit | None = None) -> Path:
    """Write a network whose weights are in another file."""
    model = network(node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Conv", "b v"),
                    weights=WEIGHTS)  # fmt: skip
    (folder / location).parent.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location=location, size_threshold=0)
    if edit is not None:
        model = onnx.load(path, load_external_data=False)
        edit(model)
        path.write_bytes(model.SerializeToString())
    return path


def set_to(key: str, value: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        for each in model.graph.initializer[0].external_data:
            if each.key == key:
                each.value = value

    return edit


@pytest.mark.parametrize("location", ["model.onnx.data", "weights/part one.bin"])
def test_weights_are_read_from_the_folder_and_from_a_zip(location: str, tmp_path: Path) -> None:
    path = written(tmp_path, location)
    pruned = secateur.prune(path, ratio=0.5, round_to=1, min_channels=1)
    assert pruned.program.parameters()["w"].shape == (4, 3, 3, 3)
    (tmp_path / "out").mkdir()
    packed = bundled(path, tmp_path / "out")
    assert check_path(packed, "model").name == "onnx"
    program = read_onnx(packed)
    for name, values in WEIGHTS.items():
        assert np.array_equal(program.tensors[name].numpy(), values)


def test_a_file_that_pytorch_writes_by_default_is_read(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3))
    path = tmp_path / "net.onnx"
    shapes = ({0: torch.export.Dim("batch", min=1)},)
    torch.onnx.export(net.eval(), (torch.rand(2, 3, 8, 8),), path, dynamic_shapes=shapes,
                      verbose=False)  # fmt: skip
    assert (tmp_path / "net.onnx.data").is_file()
    assert bundled(path, tmp_path).suffix == ".zip"
    assert read_onnx(bundled(path, tmp_path)).parameters()["0.weight"].shape == (8, 3, 3, 3)


def test_a_file_in_the_service_reads_no_other(tmp_path: Path) -> None:
    with pytest.raises(
        ModelRejectedError, match="keeps the tensor 'w' in another file: send a zip"
    ):
        read_onnx(written(tmp_path))


def test_a_client_names_the_weights_that_are_missing(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "model.onnx.data").unlink()
    with pytest.raises(MissingWeightsError, match=r"keeps weights in 'model.onnx.data', which is"):
        bundled(path, tmp_path)


UNSAFE: dict[str, tuple[Edit, str]] = {
    "above": (set_to("location", "../secret"), "only files below the folder"),
    "absolute": (set_to("location", "/etc/passwd"), "only files below the folder"),
    "drive": (set_to("location", "C:\\secret"), "only files below the folder"),
    "hidden dots": (set_to("location", "a/../../secret"), "only files below the folder"),
    "itself": (set_to("location", "."), "only files below the folder"),
    "nothing": (set_to("location", ""), "only files below the folder"),
    "control": (set_to("location", "a\nb"), "only files below the folder"),
    "missing": (set_to("location", "other"), "not a file beside|lacks the weights"),
    "outside": (set_to("length", "99999999"), "lies outside"),
    "behind": (set_to("offset", "99999999"), "lies outside"),
    "negative": (set_to("offset", "-1"), "no number"),
    "words": (set_to("length", "many"), "no number"),
    "short": (set_to("length", "4"), "needs 864 bytes"),
}


@pytest.mark.parametrize("name", UNSAFE)
@pytest.mark.parametrize("is_zip", [False, True])
def test_unsafe_places_are_refused(name: str, is_zip: bool, tmp_path: Path) -> None:
    edit, message = UNSAFE[name]
    path = written(tmp_path, edit=edit)
    (tmp_path.parent / "secret").write_bytes(bytes(2000))
    if is_zip:
        target = tmp_path / "model.zip"
        with zipfile.ZipFile(target, "w") as archive:
            archive.write(path, "model.onnx")
            archive.write(tmp_path / "model.onnx.data", "model.onnx.data")
        path = target
    with pytest.raises(ModelRejectedError, match=message):
        read_onnx(path, has_files_beside=True)


def test_links_are_not_followed(tmp_path: Path) -> None:
    path = written(tmp_path)
    data = tmp_path / "model.onnx.data"
    data.rename(tmp_path.parent / "elsewhere")
    data.symlink_to(tmp_path.parent / "elsewhere")
    with pytest.raises(ModelRejectedError, match="links are not followed"):
        read_onnx(path, has_files_beside=True)
    with pytest.raises(MissingWeightsError):
        bundled(path, tmp_path)


def test_weights_are_limited_even_if_many_share_the_same_bytes(tmp_path: Path) -> None:
    def repeat(model: onnx.ModelProto) -> None:
        for number in range(200):
            copy = model.graph.initializer.add()
            copy.CopyFrom(model.graph.initializer[0])
            copy.name = f"copy{number}"

    path = written(tmp_path, edit=repeat)
    with pytest.raises(ModelRejectedError, match="have over 8000 bytes"):
        read_onnx(path, ModelLimits(tensor_elements=1000), has_files_beside=True)


def entry(name: str, **changed: Any) -> zipfile.ZipInfo:
    found = zipfile.ZipInfo(name)
    for key, value in changed.items():
        setattr(found, key, value)
    return found


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([entry("../x.onnx")], "name that is not accepted"),
        ([entry("/x.onnx")], "name that is not accepted"),
        ([entry("x.onnx", external_attr=0o120777 << 16)], "a link or a device"),
        ([entry("x.onnx", compress_type=zipfile.ZIP_LZMA)], "compressed in a rare way"),
        ([entry("x.onnx"), entry("y.onnx")], "has 2 .onnx files"),
        ([entry("x.data")], "has 0 .onnx files"),
        ([entry("x.onnx", compress_type=zipfile.ZIP_DEFLATED), entry("big")], "unpacks to more"),
    ],
)
def test_hostile_zips_are_refused(
    entries: list[zipfile.ZipInfo], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for each in entries:
            archive.writestr(each, bytes(10_000 if each.filename == "big" else 10))
    with pytest.raises(ModelRejectedError, match=message):
        read_onnx(path, ModelLimits(tensor_elements=1000))

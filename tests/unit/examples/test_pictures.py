"""Folders of images as data sets, drawn shapes, and pinned package files."""

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from examples import packages, two_heads
from examples.packages import DataUnavailableError, Package, npm_archive, wheel
from examples.pictures import pack_images


def save_image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path)


def test_folders_are_packed_without_classes(tmp_path: Path) -> None:
    for name in ("a.png", "cats/b.JPG", "cats/deep/c.png"):
        save_image(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    packed = pack_images(tmp_path / "in", tmp_path)
    with zipfile.ZipFile(packed) as file:
        assert file.namelist() == ["000000.png", "000001.jpg", "000002.png"]
    assert pack_images(packed, tmp_path / "elsewhere") == packed


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(DataUnavailableError, match=f"{tmp_path} holds no images"):
        pack_images(tmp_path, tmp_path)


def test_boxes_enclose_the_drawn_shapes() -> None:
    pictures, boxes, classes = two_heads.draw(50, seed=3)
    again = two_heads.draw(50, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip((pictures, boxes, classes), again, strict=True))
    assert set(classes) == {0, 1}
    for picture, box in zip(pictures[:, 0], boxes, strict=True):
        rows, columns = np.nonzero(picture >= 80 + 90)  # brighter than any noise
        if len(rows) < 5:  # a dark shape
            continue
        centre, size = box[:2] * two_heads.SIZE, box[2:] * two_heads.SIZE
        for found, middle, side in zip((columns, rows), centre, size, strict=True):
            assert found.min() >= middle - side / 2 - 1
            assert found.max() <= middle + side / 2 + 1


def test_the_overlap_of_boxes_is_intersection_over_union() -> None:
    true = np.array([[0.5, 0.5, 0.4, 0.4]], np.float32)
    assert two_heads.overlap(true, true) == pytest.approx(1)
    right = np.array([[1, 0, 0, 0]], np.float32)
    assert two_heads.overlap(true + 0.2 * right, true) == pytest.approx(1 / 3, abs=1e-6)
    assert two_heads.overlap(true + 0.4 * right, true) == pytest.approx(0, abs=1e-6)


def test_a_cached_file_is_used_if_its_hash_matches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "CACHE", tmp_path)
    path = tmp_path / "wheels" / "some_thing-1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("some_thing/data.txt", "content")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    with wheel(Package("some-thing", "1.0", sha256)) as file:
        assert file.read("some_thing/data.txt") == b"content"
    with pytest.raises(DataUnavailableError, match=f"SHA-256 {sha256}, expected 000"):
        wheel(Package("some-thing", "1.0", "0" * 64))


def test_a_missing_npm_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "CACHE", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataUnavailableError, match="some-thing needs npm, which is not installed"):
        npm_archive(Package("some-thing", "1.0", "0" * 64))


def test_the_index_names_every_example() -> None:
    folder = Path(packages.__file__).parent
    index = (folder / "README.md").read_text()
    for path in folder.iterdir():
        if path.suffix in {".py", ".sh"} and path.stem != "__init__":
            assert path.stem in index, path.name

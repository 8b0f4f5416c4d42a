"""Folder trees: classes, splits, ignored files and notes."""

import io
import unicodedata
import zipfile
from pathlib import Path
from typing import Any

import pytest

from secateur.engine.errors import DataError
from tests.unit.pipeline.data.files import opened, png, tarred, zipped


def pictures(*folders: str, count: int = 4) -> dict[str, bytes]:
    """Return ``count`` images in each folder."""
    return {f"{folder}/{i}.png": png(i) for folder in folders for i in range(count)}


def summary(folder: Path, files: dict[str, bytes], kind: str = "zip") -> dict[str, Any]:
    data = zipped(files) if kind == "zip" else tarred(files)
    return opened(folder, data, kind).summary()


CAT_DOG = ["cat", "dog"]
TREES: dict[str, tuple[dict[str, bytes], list[str], dict[str, int] | None, str]] = {
    "plain": (pictures("cat", "dog"), CAT_DOG, None, ""),
    "a wrapper": (pictures("pets/cat", "pets/dog"), CAT_DOG, None, ""),
    "three wrappers": (pictures("a/b/c/cat", "a/b/c/dog"), CAT_DOG, None, ""),
    "folders in classes": (
        pictures("cat/day", "cat/night", "dog/day", "dog/night"),
        CAT_DOG,
        None,
        "class folders hold folders ('day', 'night')",
    ),
    "classes of several depths": (
        pictures("cat", "dog/puppies", "dog/old/brown"),
        CAT_DOG,
        None,
        "class folders hold folders ('brown', 'old', 'puppies')",
    ),
    "roboflow": (
        pictures("train/cat", "train/dog", "valid/cat", "valid/dog", "test/cat", "test/dog"),
        CAT_DOG,
        {"train": 8, "validation": 8, "test": 8},
        "",
    ),
    "capital letters": (
        pictures("Pets/Train/cat", "Pets/Train/dog", "Pets/Val/cat", "Pets/TEST/dog"),
        CAT_DOG,
        {"train": 8, "validation": 4, "test": 4},
        "",
    ),
    "other words": (
        pictures("training_set/cat", "training_set/dog", "dev/cat", "Test-Images/dog"),
        CAT_DOG,
        {"train": 8, "validation": 4, "test": 4},
        "",
    ),
    "a common word beside": (
        pictures("seg_train/seg_train/cat", "seg_train/seg_train/dog", "seg_test/seg_test/cat"),
        CAT_DOG,
        {"train": 8, "validation": 0, "test": 4},
        "",
    ),
    "images inside of splits": (
        pictures("train/images/cat", "train/images/dog", "val/images/dog"),
        CAT_DOG,
        {"train": 8, "validation": 4, "test": 0},
        "",
    ),
    "training alone": (pictures("train/cat", "train/dog"), CAT_DOG, None, ""),
    "a class called test": (
        pictures("control", "test"),
        ["control", "test"],
        None,
        "'test' is read as a class: is that meant?",
    ),
    "years": (
        pictures("train2017/cat", "train2017/dog", "val2017/cat"),
        CAT_DOG,
        {"train": 8, "validation": 4, "test": 0},
        "",
    ),
    "splits inside of classes": (
        pictures("cat/test", "cat/train", "dog/test", "dog/train"),
        CAT_DOG,
        None,
        "They are not read as splits",
    ),
    "words that only begin so": (
        pictures("test_track", "train_station"),
        ["test_track", "train_station"],
        None,
        "",
    ),
    "vehicles": (pictures("bus", "car", "train"), ["bus", "car", "train"], None, "'train' is read"),
    "twins by case": (
        pictures("Cat", "cat", "dog"),
        ["Cat", "cat", "dog"],
        None,
        "'Cat', 'cat' differ only in case or spaces: they are read as 2 classes",
    ),
    "numbers": (
        pictures("1", "2", "10"),
        ["1", "10", "2"],
        None,
        "'10' comes before '2', so class 1 of the network is '10'",
    ),
    "numbers from one": (pictures("1", "2"), ["1", "2"], None, "start at '1'"),
    "colons": (pictures("cat/12:30:05", "dog"), CAT_DOG, None, ""),
}


@pytest.mark.parametrize("name", TREES)
def test_the_class_is_the_first_folder_below_the_root_or_split(name: str, tmp_path: Path) -> None:
    files, classes, splits, note = TREES[name]
    for kind in ("zip", "tar"):
        found = summary(tmp_path, files, kind)
        assert found["class_names"] == classes
        assert found["num_samples"] == len(files)
        assert splits is None or found["splits"] == splits
        assert found["left_out"] == []
        assert note in "; ".join(found["notes"])


LITTER = [
    ".ipynb_checkpoints/0-checkpoint.png",
    "pets/.ipynb_checkpoints/0.png",
    "pets/cat/.ipynb_checkpoints/0.png",
    "__MACOSX/pets/cat/._0.png",
    "pets/cat/@eaDir/0.png",
    "pets/.git/a/b/0.jpg",
    "pets/cat/Thumbs.db",
    "pets/Desktop.INI",
    "pets/.DS_Store",
    "$RECYCLE.BIN/0.png",
    "pets/Icon\r",
]


def test_hidden_entries_and_litter_are_left_out_at_any_level(tmp_path: Path) -> None:
    files = pictures("pets/cat", "pets/dog") | dict.fromkeys(LITTER, png())
    found = summary(tmp_path, files)
    assert found["class_names"] == CAT_DOG
    (entry,) = found["left_out"]
    assert (entry["what"], entry["count"], len(entry["names"])) == ("file", len(LITTER), 5)
    assert f"{len(LITTER)} files were left out (hidden or a system file)" in found["notes"][0]


def test_files_other_than_images_are_left_out_and_listed(tmp_path: Path) -> None:
    others = ["README.md", "LICENSE", "labels.csv", "flowers/rose/0.xml", "weights.pth"]
    files = pictures("flowers/rose", "flowers/tulip") | dict.fromkeys(others, b"text")
    found = summary(tmp_path, files)
    assert found["class_names"] == ["rose", "tulip"]
    assert found["left_out"][0]["count"] == 5
    assert found["left_out"][0]["names"] == others
    assert "5 files were left out (not an image of a supported format)" in found["notes"][0]
    with pytest.raises(DataError, match=r"holds no image; '\.data/cat/0\.png', .* is hidden"):
        summary(tmp_path, pictures(".data/cat"))


def test_a_class_folder_without_images_gets_a_note(tmp_path: Path) -> None:
    files = pictures("pets/cat", "pets/dog") | {"pets/bird/1.heic": b"x", "pets/bird/2.heic": b"x"}
    found = summary(tmp_path, files)
    assert found["class_names"] == CAT_DOG
    assert (
        "the folder 'bird' holds no image: it is not a class, and classes are numbered without it"
        in "; ".join(found["notes"])
    )
    folder_alone = summary(tmp_path, pictures("pets/cat", "pets/dog") | {"pets/ant/": b""})
    assert "the folder 'ant' holds no image" in "; ".join(folder_alone["notes"])


def test_images_beside_the_class_folders_are_left_out_if_they_are_few(tmp_path: Path) -> None:
    files = pictures("pets/cat", "pets/dog")
    found = summary(tmp_path, files | {"pets/preview.png": png(), "cover.jpg": png()})
    assert found["class_names"] == CAT_DOG
    assert found["num_samples"] == 8
    assert found["left_out"][0]["reason"] == "beside the class folders"
    assert found["left_out"][0]["names"] == ["cover.jpg", "pets/preview.png"]
    with pytest.raises(DataError, match="4 of 12 images are not in a class folder"):
        summary(tmp_path, files | {f"{i}.png": png() for i in range(4)})


def test_a_test_split_without_labels_is_left_out(tmp_path: Path) -> None:
    found = summary(tmp_path, pictures("train/cat", "train/dog", "val/cat") | pictures("test"))
    assert found["splits"] == {"train": 8, "validation": 4, "test": 0}
    assert found["left_out"][0]["reason"] == "in a split without class folders"
    assert found["left_out"][0]["count"] == 4


def test_folders_that_could_be_splits_or_classes_are_refused(tmp_path: Path) -> None:
    for files in (
        pictures("train/cat", "train/dog", "unlabelled"),
        pictures("seg_train/cat", "seg_train/dog", "seg_pred"),
    ):
        with pytest.raises(DataError, match=r"and some do not: beside '.*train' there is"):
            summary(tmp_path, files)
    with pytest.raises(DataError, match="images under train/ have no class folders"):
        summary(tmp_path, pictures("train", "val/cat", "val/dog"))


def test_folders_that_say_nothing_about_the_picture_are_no_classes(tmp_path: Path) -> None:
    layouts = (
        pictures("images"),
        pictures("JPEGImages") | {"Annotations/0.xml": b"<x/>"},
        pictures("train/images", "val/images") | {"train/labels/0.txt": b"0"},
        pictures("images/train", "images/val") | {"labels/train/0.txt": b"0"},
    )
    for files in layouts:
        found = summary(tmp_path, files)
        assert (found["labels"], found["class_names"]) == ("none", [])


def test_names_composed_in_two_ways_are_one_class(tmp_path: Path) -> None:
    twins = [unicodedata.normalize(form, "müde") for form in ("NFC", "NFD")]
    files = {f"{folder}/{i}.png": png(i) for i, folder in enumerate([*twins, "wach", "wach"])}
    assert summary(tmp_path, files)["class_names"] == [twins[0], "wach"]
    same_file = {f"{folder}/0.png": png() for folder in twins}
    assert summary(tmp_path, same_file)["class_counts"] == [2]


def windows_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in [("pets\\dog\\", b""), *pictures("pets/cat", "pets/dog").items()]:
            info = zipfile.ZipInfo("x")
            info.filename, info.create_system = name.replace("/", "\\"), 0
            archive.writestr(info, data)
    return buffer.getvalue()


def unmarked_zip() -> bytes:
    """Return a zip as macOS writes it: names in UTF-8, without the UTF-8 flag."""
    data = zipped(pictures("müde", "wach"))
    for signature, at in ((b"PK\x01\x02", 9), (b"PK\x03\x04", 7)):
        start = -1
        while (start := data.find(signature, start + 1)) >= 0:
            data = data[: start + at] + b"\0" + data[start + at + 1 :]
    return data


def test_backslashes_of_windows_are_folders(tmp_path: Path) -> None:
    found = opened(tmp_path, windows_zip(), "zip").summary()
    assert found["class_names"] == CAT_DOG
    assert found["left_out"] == []


def test_names_of_macos_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert opened(tmp_path, unmarked_zip(), "zip").class_names == ("müde", "wach")


def test_a_large_file_beside_the_images_does_not_matter(tmp_path: Path) -> None:
    found = summary(tmp_path, pictures("cat", "dog") | {"weights.bin": bytes(3 * 1024**2)})
    assert found["left_out"][0]["names"] == ["weights.bin"]

"""Data sets: reading, preprocessing and refusals."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from app.contracts.settings import LimitSettings
from app.contracts.spec import PreprocessSpec
from secateur.engine.errors import DataError
from worker.pipeline.data import Dataset, Split, open_dataset


def opened(tmp_path: Path, data: bytes, kind: str = "npz", **spec: Any) -> Dataset:
    path = tmp_path / "data"
    path.write_bytes(data)
    preprocess = PreprocessSpec(**spec)
    return open_dataset(path, kind, preprocess, tmp_path, limits=LimitSettings(image_pixels=10_000))


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def png(value: int = 100, size: tuple[int, int] = (4, 4), mode: str = "L") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else (value,) * 3).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((20, 8, 6), (1, 8, 6)), ((20, 3, 8, 6), (3, 8, 6)), ((20, 8, 6, 3), (3, 8, 6)),
     ((20, 3, 6, 3), (3, 6, 3)), ((20, 5), (5,))],
)  # fmt: skip
def test_every_layout_becomes_channels_first(
    shape: tuple[int, ...], expected: tuple[int, ...], tmp_path: Path
) -> None:
    data = opened(tmp_path, npz(x=np.zeros(shape, np.uint8), y=np.zeros(20, int)))
    assert data.sample_shape == expected


def test_pixels_are_scaled_and_normalised(tmp_path: Path) -> None:
    x = np.arange(40, dtype=np.uint8).reshape(10, 1, 2, 2)
    data = opened(tmp_path, npz(x=x, y=np.zeros(10, int)), mean=(0.5,), std=(0.25,))
    found, labels = data.batch(torch.tensor([3, 1]))
    assert torch.allclose(found, (torch.from_numpy(x[[3, 1]]) / 255 - 0.5) / 0.25)
    assert labels is not None
    assert labels.tolist() == [0, 0]
    floats = opened(tmp_path, npz(x=x.astype(np.float32), y=np.zeros(10, int)))
    assert torch.equal(floats.batch(torch.tensor([9]))[0][0], torch.from_numpy(x[9]).float())


def test_splits_are_given_or_made_always_the_same(tmp_path: Path) -> None:
    x, y = np.zeros((30, 2, 2), np.uint8), np.arange(30) % 3
    given = opened(tmp_path, npz(x=x, y=y, split=np.repeat([0, 1, 2], 10)))
    assert given.indices(Split.VALIDATION).tolist() == list(range(10, 20))
    parts = opened(tmp_path, npz(x=x, y=y, x_test=x[:5], y_test=y[:5]))
    assert parts.indices(Split.TEST).tolist() == list(range(30, 35))
    made = [opened(tmp_path, npz(x=x, y=y)).indices(s).tolist() for s in Split]
    assert [len(part) for part in made] == [24, 3, 3]
    assert made == [opened(tmp_path, npz(x=x, y=y)).indices(s).tolist() for s in Split]


def test_a_zip_of_class_folders_is_decoded_and_sorted(tmp_path: Path) -> None:
    files = {f"{c}/{i}.png": png(10 * i) for c in ("dog", "cat") for i in range(10)}
    data = opened(tmp_path, zipped(files), "zip")
    assert data.class_names == ("cat", "dog")
    assert data.sample_shape == (1, 4, 4)
    x, y = data.batch(torch.tensor([3, 13]))
    assert torch.allclose(x.flatten(1)[:, 0], torch.tensor([30 / 255, 30 / 255]))
    assert y is not None
    assert y.tolist() == [0, 1]


def test_images_take_the_size_colour_and_split_they_are_asked_for(tmp_path: Path) -> None:
    files = {"train/a/1.png": png(size=(9, 5), mode="RGB"), "val/b/2.png": png(size=(30, 20))}
    data = opened(tmp_path, zipped(files), "zip", resize=(6, 8), channels="rgb")
    assert data.sample_shape == (3, 6, 8)
    assert data.summary()["splits"] == {"train": 1, "validation": 1, "test": 0}


X, Y = np.zeros((10, 2, 2), np.uint8), np.zeros(10, int)
BAD_NPZ = {
    "no array 'x'": npz(y=Y),
    "no array 'y_val'": npz(x=X, y=Y, x_val=X),
    "no array 'y'": npz(x=X, x_val=X, y_val=Y),
    "'y_test' holds labels for samples": npz(x=X, y=Y, y_test=Y),
    "different sample shapes": npz(x=X, y=Y, x_val=X[:, :1], y_val=Y),
    "different types": npz(x=X, y=Y, x_val=X / 2, y_val=Y),
    "labels have shape": npz(x=X, y=Y[:5]),
    "an integer, float": npz(x=X, y=Y * 1j),
    "may only hold zeros and ones": npz(x=X, y=np.stack([Y, Y + 2], 1)),
    "not finite": npz(x=X, y=np.full(10, np.nan)),
    "different kinds": npz(x=X, y=Y, x_val=X, y_val=Y / 2),
    "must be .N,. or .N, K": npz(x=X, y=Y.reshape(10, 1, 1)),
    "labels run from -1": npz(x=X, y=Y - 1),
    "uint8 or floats": npz(x=X.astype(np.int64), y=Y),
    "objects are not accepted": npz(x=np.array([{}] * 10, dtype=object), y=Y),
    "no sample for training": npz(x=X, y=Y, split=np.ones(10, int)),
    "one of 0": npz(x=X, y=Y, split=np.full(10, 7)),
    "class_names": npz(x=X, y=Y + 1, class_names=np.array(["a"])),
    "at least one sample": npz(x=X[:0], y=Y[:0]),
    "inflates more than": npz(x=np.zeros((100, 1000, 1000), np.uint8), y=Y),
    "not a .npz file": b"PK\x03\x04 garbage",
    "not a plain array": zipped({"x.npy": b"hello", "y.npy": b"hello"}),
}


@pytest.mark.parametrize(("words", "data"), BAD_NPZ.items(), ids=BAD_NPZ.keys())
def test_a_bad_npz_is_refused_with_a_reason(words: str, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=words):
        opened(tmp_path, data)


BAD_ZIP = {
    "name that is not accepted": {"../evil/1.png": png()},
    "is not an image": {"cat/1.exe": b"MZ"},
    "not in a class folder": {"1.png": png(), "cat/2.png": png()},
    "no image lies under train": {"val/1.png": png()},
    "the zip holds entry 'cat//1.png' twice": {"cat/1.png": png(), "cat//1.png": png()},
    "cannot be decoded": {"cat/1.png": b"not a png"},
    "120x120 pixels": {"cat/1.png": png(size=(120, 120))},
    "some do not": {"train/cat/1.png": png(), "cat/2.png": png()},
    "bytes, at most": {"cat/1.png": bytes(10**6)},
}


@pytest.mark.parametrize(("words", "files"), BAD_ZIP.items(), ids=BAD_ZIP.keys())
def test_a_bad_zip_is_refused_with_a_reason(
    words: str, files: dict[str, bytes], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        opened(tmp_path, zipped(files), "zip")


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("cat/1.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        opened(tmp_path, buffer.getvalue(), "zip")

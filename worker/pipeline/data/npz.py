"""``.npz`` files: checked as archives, then memory-mapped array by array; objects are refused."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from worker.engine.errors import DataError

Arrays = dict[str, NDArray[Any]]
Parts = tuple[NDArray[Any], NDArray[np.int64], NDArray[np.uint8] | None, tuple[str, ...]]

MAX_MEMBERS = 32
MAX_TOTAL_BYTES = 64 * 1024**3
MAX_RATIO = 500  # real images deflate by 2 to 10; a bomb by 1000
MAX_CLASSES = 100_000
_SMALL_BYTES = 1024**2
_CHUNK_BYTES = 1024**2
_NAMES = (("x", "images"), ("y", "labels"))
_PAIRS = ((None, 0), ("val", 1), ("test", 2))


def read_npz(path: Path, scratch: Path) -> Parts:
    """Return samples (N, …), labels, split and class names of an uploaded ``.npz``.

    Arrays: ``x`` and ``y`` (or ``images`` and ``labels``), optionally ``split`` (0 train,
    1 validation, 2 test) or ``x_val``, ``y_val``, ``x_test``, ``y_test``, and ``class_names``.
    Images are (N, H, W), (N, C, H, W) or (N, H, W, C); where both fit, channels come first.

    Raises:
        DataError: It is not such a file.
    """
    arrays = _unpack(path, scratch)
    x_name, y_name = (_one_of(arrays, names) for names in _NAMES)
    xs, ys, splits = [], [], []
    for suffix, number in _PAIRS:
        x = arrays.get(x_name if suffix is None else f"{x_name}_{suffix}")
        y = arrays.get(y_name if suffix is None else f"{y_name}_{suffix}")
        if x is None or y is None:
            continue
        xs.append(_images(x))
        ys.append(_labels(y, len(x)))
        splits.append(np.full(len(x), number, np.uint8))
    if len({x.shape[1:] for x in xs}) > 1:
        raise DataError(f"the splits have different sample shapes: {[x.shape[1:] for x in xs]}")
    x_all, y_all = (xs[0], ys[0]) if len(xs) == 1 else (np.concatenate(xs), np.concatenate(ys))
    if "split" in arrays:
        split: NDArray[np.uint8] | None = _split(arrays["split"], len(y_all))
    else:
        split = np.concatenate(splits) if len(xs) > 1 else None
    return x_all, y_all, split, _class_names(arrays.get("class_names"), int(y_all.max()) + 1)


def _unpack(path: Path, scratch: Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _check_members(infos)
            return {
                info.filename.removesuffix(".npy"): _member(archive, info, scratch / f"{i}.npy")
                for i, info in enumerate(infos)
            }
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise DataError("the data set is not a .npz file, or a damaged one") from error


def _check_members(infos: list[zipfile.ZipInfo]) -> None:
    if not 0 < len(infos) <= MAX_MEMBERS:
        raise DataError(f"the .npz file has {len(infos)} members, at most {MAX_MEMBERS}")
    if len({info.filename for info in infos}) != len(infos):
        raise DataError("the .npz file has two members of one name")
    total = sum(info.file_size for info in infos)
    if total > MAX_TOTAL_BYTES:
        raise DataError(f"the arrays have {total} bytes, at most {MAX_TOTAL_BYTES}")
    for info in infos:
        is_large = info.file_size > _SMALL_BYTES
        if is_large and info.file_size > MAX_RATIO * max(1, info.compress_size):
            raise DataError(f"member {info.filename[:80]!r} inflates more than {MAX_RATIO} times")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> NDArray[Any]:
    """Unpack one array, counting bytes, and map it."""
    scratch_bytes = 0
    with archive.open(info) as source, target.open("wb") as file:
        while chunk := source.read(_CHUNK_BYTES):
            scratch_bytes += len(chunk)
            if scratch_bytes > info.file_size:
                raise DataError(f"member {info.filename[:80]!r} is larger than it says")
            file.write(chunk)
    try:
        return npy.open_memmap(target, mode="r")
    except (ValueError, TypeError, EOFError, OverflowError) as error:
        raise DataError(
            f"member {info.filename[:80]!r} is not a plain array (objects are not accepted)"
        ) from error


def _one_of(arrays: Arrays, names: tuple[str, str]) -> str:
    for name in names:
        if name in arrays:
            return name
    raise DataError(
        f"the .npz file has no array {names[0]!r} (or {names[1]!r}), only {sorted(arrays)[:10]}"
    )


def _images(x: NDArray[Any]) -> NDArray[Any]:
    if x.dtype != np.uint8 and x.dtype not in (np.float16, np.float32, np.float64):
        raise DataError(f"samples have type {x.dtype}; uint8 or floats are accepted")
    if x.ndim < 2 or len(x) == 0:  # noqa: PLR2004  # samples and at least one feature
        raise DataError(f"samples have shape {x.shape}; at least one sample is needed")
    if x.ndim == 3:  # noqa: PLR2004  # grey images
        return x[:, None]
    if x.ndim == 4 and x.shape[1] not in {1, 3} and x.shape[3] in {1, 3}:  # noqa: PLR2004
        return x.transpose(0, 3, 1, 2)
    return x


def _labels(y: NDArray[Any], num_samples: int) -> NDArray[np.int64]:
    if y.ndim != 1 or len(y) != num_samples:
        raise DataError(f"labels have shape {y.shape} for {num_samples} samples")
    if not np.issubdtype(y.dtype, np.integer):
        raise DataError(f"labels have type {y.dtype}; whole numbers are needed")
    labels = np.array(y, dtype=np.int64)
    if labels.min() < 0 or labels.max() >= MAX_CLASSES:
        raise DataError(
            f"labels run from {labels.min()} to {labels.max()}; 0 to {MAX_CLASSES - 1} are accepted"
        )
    return labels


def _split(split: NDArray[Any], num_samples: int) -> NDArray[np.uint8]:
    if split.shape != (num_samples,) or not np.isin(split, (0, 1, 2)).all():
        raise DataError("'split' needs one of 0 (train), 1 (validation), 2 (test) for each sample")
    if not (split == 0).any():
        raise DataError("'split' marks no sample for training")
    return np.array(split, dtype=np.uint8)


def _class_names(names: NDArray[Any] | None, num_classes: int) -> tuple[str, ...]:
    if names is None:
        return tuple(str(label) for label in range(num_classes))
    if names.ndim != 1 or names.dtype.kind != "U" or len(names) < num_classes:
        raise DataError(
            f"'class_names' must be at least {num_classes} strings, it is {names.dtype} "
            f"{names.shape}"
        )
    return tuple(str(name)[:200] for name in names)

"""``.npz`` files: checked as archives, then unpacked array by array; objects are refused."""

import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from app.contracts.settings import LimitSettings
from worker.engine.errors import DataError, DataTooLargeError
from worker.engine.zips import open_zip_file
from worker.pipeline.data.archives import check_no_overlap, check_readable, reading
from worker.pipeline.data.labels import Labels, check_label_values, to_labels
from worker.pipeline.data.npy import NpyArray, open_npy
from worker.pipeline.data.raw import RawData
from worker.pipeline.data.rows import Layout, RowFile, Rows, rewrite_row_by_row

Arrays = Mapping[str, NpyArray]

MAX_MEMBERS = 32
_SMALL_BYTES = 1024**2
_CHUNK_BYTES = 1024**2
_X_NAMES, _Y_NAMES = ("x", "images"), ("y", "labels")
_SUFFIXES = ("", "_val", "_test")  # in the order of `Split`
_CHANNELS = frozenset({1, 3})


def read_npz(path: Path, scratch: Path, limits: LimitSettings) -> RawData:
    """Return what an uploaded ``.npz`` holds.

    Arrays: ``x`` (or ``images``) and, where there are labels, ``y`` (or ``labels``), optionally
    ``split`` (0 train, 1 validation, 2 test) or ``x_val``, ``y_val``, ``x_test``, ``y_test``, and
    ``class_names``. Images are (N, H, W), (N, C, H, W) or (N, H, W, C); where both fit, channels
    come first. Splits stay files of their own.

    Raises:
        DataError: It is not such a file.
        DataTooLargeError: It is past a limit.
    """
    arrays = _unpack(path, scratch, limits)
    x_name = next((name for name in _X_NAMES if name in arrays), None)
    if x_name is None:
        raise DataError(f"the .npz file has no array 'x' (or 'images'), only {sorted(arrays)[:10]}")
    y_name = next((name for name in _Y_NAMES if name in arrays), _Y_NAMES[0])
    suffixes = [suffix for suffix in _SUFFIXES if x_name + suffix in arrays]
    xs = [arrays[x_name + suffix] for suffix in suffixes]
    rows = _rows(xs, scratch, limits)
    labels = _labels(arrays, y_name, suffixes, [x.shape[0] for x in xs], limits)
    split: NDArray[np.uint8] | None = None
    if "split" in arrays:
        split = _split(arrays["split"], len(rows), limits)
    elif len(xs) > 1:
        numbers = [_SUFFIXES.index(suffix) for suffix in suffixes]
        split = np.repeat(np.array(numbers, np.uint8), [x.shape[0] for x in xs])
    used = {"split", "class_names", *(n + s for n in (x_name, y_name) for s in suffixes)}
    unused = sorted(set(arrays) - used)
    notes = (f"the arrays {', '.join(unused)[:200]} are not used",) if unused else ()
    return RawData(rows, labels, split, notes)


def _unpack(path: Path, scratch: Path, limits: LimitSettings) -> Arrays:
    with path.open("rb") as source:
        with reading(".npz"):
            archive = open_zip_file(source, MAX_MEMBERS, DataTooLargeError)
        infos = archive.infolist()
        check_no_overlap(".npz file", infos, path)
        _check_members(infos, limits)
        return {
            info.filename.removesuffix(".npy"): _member(archive, info, scratch / f"{i}.npy")
            for i, info in enumerate(infos)
        }


def _check_members(infos: list[zipfile.ZipInfo], limits: LimitSettings) -> None:
    if not infos:
        raise DataError("the .npz file has no members")
    if len({info.filename.removesuffix(".npy") for info in infos}) != len(infos):
        raise DataError("the .npz file has two members of one name")
    total = sum(info.file_size for info in infos)
    if total > limits.unpacked_bytes:
        raise DataTooLargeError(f"the arrays have {total} bytes, at most {limits.unpacked_bytes}")
    most = limits.array_inflate_ratio
    for info in infos:
        check_readable(info)
        is_large = info.file_size > _SMALL_BYTES
        if is_large and info.file_size > most * max(1, info.compress_size):
            raise DataTooLargeError(
                f"member {info.filename[:80]!r} inflates more than {most} times"
            )


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> NpyArray:
    """Unpack one array, counting bytes, and read its header."""
    num_bytes = 0
    with reading(".npz"):
        source = archive.open(info)
    with source, target.open("wb") as file:
        while chunk := _chunk(source):
            num_bytes += len(chunk)
            if num_bytes > info.file_size:
                raise DataError(f"member {info.filename[:80]!r} is larger than it says")
            file.write(chunk)
    return open_npy(target, repr(info.filename[:80]))


def _chunk(source: IO[bytes]) -> bytes:
    with reading(".npz"):
        return source.read(_CHUNK_BYTES)


def _rows(xs: list[NpyArray], scratch: Path, limits: LimitSettings) -> Rows:
    for x in xs:
        plain = x.dtype.newbyteorder("=")
        if plain != np.uint8 and plain not in (np.float16, np.float32, np.float64):
            raise DataError(f"samples have type {x.dtype}; uint8 or floats are accepted")
        if len(x.shape) < 2 or 0 in x.shape:  # noqa: PLR2004  # samples and at least one feature
            raise DataError(f"samples have shape {x.shape}; at least one sample is needed")
        if prod(x.shape[1:]) > limits.sample_values:
            raise DataTooLargeError(
                f"samples of shape {x.shape[1:]} have {prod(x.shape[1:])} values each, at most "
                f"{limits.sample_values}"
            )
    num_samples = sum(x.shape[0] for x in xs)
    if num_samples > limits.samples:
        raise DataTooLargeError(f"there are {num_samples} samples, at most {limits.samples}")
    if len({x.shape[1:] for x in xs}) > 1:
        raise DataError(f"the splits have different sample shapes: {[x.shape[1:] for x in xs]}")
    if len({x.dtype for x in xs}) > 1:
        raise DataError(f"the splits have different types: {[str(x.dtype) for x in xs]}")
    return Rows([_row_file(x, scratch) for x in xs], _layout(xs[0].shape))


def _row_file(x: NpyArray, scratch: Path) -> RowFile:
    file = RowFile(x.path, x.offset, x.shape[0], x.shape[1:], x.dtype)
    if not x.is_fortran:
        return file
    rewritten = rewrite_row_by_row(file, scratch / f"{x.path.stem}_rows.bin")
    x.path.unlink()
    return rewritten


def _layout(shape: tuple[int, ...]) -> Layout:
    if len(shape) == 3:  # noqa: PLR2004  # grey images
        return "add_channel"
    if len(shape) == 4 and shape[1] not in _CHANNELS and shape[3] in _CHANNELS:  # noqa: PLR2004
        return "channels_last"
    return "as_stored"


def _labels(
    arrays: Arrays, name: str, suffixes: list[str], sizes: list[int], limits: LimitSettings
) -> Labels:
    orphans = [name + s for s in _SUFFIXES if s not in suffixes and name + s in arrays]
    if orphans:
        raise DataError(f"{orphans[0]!r} holds labels of samples that the .npz file does not have")
    found = [name + suffix for suffix in suffixes if name + suffix in arrays]
    if not found:
        return Labels("none", None)
    if len(found) < len(suffixes):
        missing = [name + suffix for suffix in suffixes if name + suffix not in arrays]
        raise DataError(
            f"the .npz file has {found[0]!r} but no array {missing[0]!r}: every split needs "
            "labels, or none"
        )
    check_label_values(sum(prod(arrays[part].shape) for part in found), limits)
    parts = []
    for part_name, size in zip(found, sizes, strict=True):
        part = arrays[part_name].load(limits)
        if part.ndim == 0 or len(part) != size:
            raise DataError(f"labels have shape {part.shape} for {size} samples")
        parts.append(part)
    return to_labels(parts, _class_names(arrays.get("class_names"), limits), limits)


def _split(array: NpyArray, num_samples: int, limits: LimitSettings) -> NDArray[np.uint8]:
    split = array.load(limits)
    if split.shape != (num_samples,) or not np.isin(split, (0, 1, 2)).all():
        raise DataError("'split' needs one of 0 (train), 1 (validation), 2 (test) for each sample")
    if not (split == 0).any():
        raise DataError("'split' marks no sample for training")
    return np.array(split, dtype=np.uint8)


def _class_names(array: NpyArray | None, limits: LimitSettings) -> list[str] | None:
    if array is None:
        return None
    if prod(array.shape) > limits.classes:
        raise DataTooLargeError(
            f"'class_names' has {prod(array.shape)} names, at most {limits.classes}"
        )
    names: NDArray[Any] = array.load(limits)
    if names.ndim != 1 or names.dtype.kind != "U":
        raise DataError(
            f"'class_names' must be strings, one for each class; it is {names.dtype} {names.shape}"
        )
    try:
        found = [str(name) for name in names]
        "".join(found).encode()
    except (SystemError, ValueError) as error:  # code points past Unicode's end, or half of a pair
        raise DataError("'class_names' holds what is no text") from error
    return found

"""``.npz`` files: checked as archives, then unpacked array by array; object arrays are refused."""

import zipfile
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
from secateur.engine.files.zips import open_zip_file
from worker.pipeline.data.archives import check_no_overlap, check_readable, reading
from worker.pipeline.data.array_names import Part, find_parts
from worker.pipeline.data.finite import check_finite
from worker.pipeline.data.images import ImageTarget
from worker.pipeline.data.labels import Labels, check_label_values, to_labels
from worker.pipeline.data.left_out import leave_out
from worker.pipeline.data.npy import NpyArray, open_npy
from worker.pipeline.data.raw import RawData
from worker.pipeline.data.rows import Layout, RowFile, Rows, rewrite_row_by_row

Arrays = Mapping[str, NpyArray]

MAX_MEMBERS = 32
_SMALL_BYTES = 1024**2
_CHUNK_BYTES = 1024**2
_OTHERS = frozenset({"split", "class_names"})
_CHANNELS = frozenset({1, 3})


def read_npz(path: Path, target: ImageTarget, scratch: Path) -> RawData:
    """Read an uploaded ``.npz`` file.

    It holds samples and optionally labels, either together or per split, under the names in
    `array_names`, plus optional arrays ``split`` (0 train, 1 validation, 2 test) and
    ``class_names``. Images are (N, H, W), (N, C, H, W) or (N, H, W, C); if both of the latter fit,
    channels come first. Each split stays a file of its own.

    Raises:
        DataError: The file is not a valid ``.npz`` data set.
        DataTooLargeError: A limit is exceeded.
    """
    limits = target.limits
    arrays = _unpack(path, scratch, limits)
    parts = find_parts(name for name in arrays if name not in _OTHERS)
    xs = [arrays[part.x] for part in parts]
    _check_orientation(xs, [arrays[part.y] for part in parts if part.y is not None])
    rows = _rows(xs, scratch, limits)
    check_finite(rows, [(part.x, arrays[part.x].shape[0]) for part in parts])
    labels = _labels(arrays, parts, limits)
    split: NDArray[np.uint8] | None = None
    if "split" in arrays:
        split = _split(arrays["split"], len(rows), limits)
    elif len(xs) > 1:
        numbers = np.array([part.split for part in parts], np.uint8)
        split = np.repeat(numbers, [x.shape[0] for x in xs])
    used = {*_OTHERS, *(part.x for part in parts), *(part.y for part in parts)}
    left_out = leave_out("array", "not used", sorted(set(arrays) - used))
    is_unnamed = parts[0].x == "arr_0"
    notes = ("the arrays have no names; 'arr_0' is read as samples",) if is_unnamed else ()
    return RawData(rows, labels, split, notes, left_out)


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
        raise DataError("the .npz file has two members of the same name")
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
                raise DataError(f"member {info.filename[:80]!r} is larger than it declares")
            file.write(chunk)
    return open_npy(target, repr(info.filename[:80]))


def _chunk(source: IO[bytes]) -> bytes:
    with reading(".npz"):
        return source.read(_CHUNK_BYTES)


def _rows(xs: list[NpyArray], scratch: Path, limits: LimitSettings) -> Rows:
    for x in xs:
        plain = x.dtype.newbyteorder("=")
        if plain != np.uint8 and plain not in (np.float16, np.float32, np.float64):
            raise DataError(
                f"samples have type {x.dtype}; uint8 or floats are accepted: give pixels from 0 to "
                "255 as uint8, and other values as float32"
            )
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


def _check_orientation(xs: list[NpyArray], ys: list[NpyArray]) -> None:
    """Raise `DataError` if samples run along the last axis, as in MATLAB."""
    for x, y in zip(xs, ys, strict=False):
        num_labels = max(y.shape, default=0)
        is_last = len(x.shape) > 2 and x.shape[0] != num_labels == x.shape[-1]  # noqa: PLR2004
        if is_last and num_labels == prod(y.shape):
            raise DataError(
                f"{x.name} has shape {x.shape} for {num_labels} labels: samples must come first; "
                "use np.moveaxis(x, -1, 0)"
            )


def _labels(arrays: Arrays, parts: list[Part], limits: LimitSettings) -> Labels:
    found = [(part.x, part.y) for part in parts if part.y is not None]
    if not found:
        return Labels("none", None)
    check_label_values(sum(prod(arrays[y].shape) for _, y in found), limits)
    values = []
    for x, y in found:
        num_samples, part = arrays[x].shape[0], arrays[y].load(limits)
        if part.shape == (1, num_samples):  # row vector, as MATLAB writes labels
            part = part.ravel()
        if part.ndim == 0 or len(part) != num_samples:
            raise DataError(f"labels have shape {part.shape} for {num_samples} samples")
        values.append(part)
    return to_labels(values, _class_names(arrays.get("class_names"), limits), limits)


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
    except (SystemError, ValueError) as error:  # code points beyond Unicode, or a lone surrogate
        raise DataError("'class_names' holds strings that are not valid Unicode") from error
    return found

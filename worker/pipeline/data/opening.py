"""From a file and its kind to a `Dataset`."""

from pathlib import Path

from app.contracts.settings import LimitSettings
from app.contracts.spec import PreprocessSpec, SplitSpec
from secateur.engine.errors import DataError
from worker.pipeline.data.archives import open_tar, open_zip
from worker.pipeline.data.dataset import Dataset
from worker.pipeline.data.folders import read_folders
from worker.pipeline.data.images import ImageTarget
from worker.pipeline.data.npz import read_npz
from worker.pipeline.data.preprocess import with_colours, with_numbers

_DEFAULT_SPLIT = SplitSpec()
_DEFAULT_LIMITS = LimitSettings()


def open_dataset(  # noqa: PLR0913  # a file and everything it is read with
    path: Path,
    kind: str,
    preprocess: PreprocessSpec,
    scratch: Path,
    *,
    limits: LimitSettings = _DEFAULT_LIMITS,
    image_shape: tuple[int, ...] | None = None,
    split: SplitSpec = _DEFAULT_SPLIT,
) -> Dataset:
    """Open an uploaded data set.

    Samples are unpacked into files below ``scratch`` and read from there batch by batch; they are
    never in memory together.

    Args:
        path: The file.
        kind: ``npz``, ``zip``, ``tar`` (plain or gzipped) or ``parquet``.
        preprocess: How raw values become inputs.
        scratch: A private folder for unpacked arrays.
        limits: What is refused for its size.
        image_shape: (C, H, W) that images are decoded to, where the spec does not say.
        split: How samples are split where the file does not say.

    Raises:
        DataError: The file is not what it should be.
        DataTooLargeError: It is past a limit; value and limit are named.
    """
    if kind != "npz":
        preprocess = with_colours(preprocess)
    target = ImageTarget(preprocess, limits, image_shape)
    if kind == "npz":
        raw = read_npz(path, scratch, limits)
    elif kind == "zip":
        with open_zip(path, limits) as archive:
            raw = read_folders(archive, target, scratch)
    elif kind == "tar":
        with open_tar(path, scratch, limits) as archive:
            raw = read_folders(archive, target, scratch)
    elif kind == "parquet":
        from worker.pipeline.data.parquet import read_parquet  # noqa: PLC0415  # pyarrow: 15 MB

        raw = read_parquet(path, target, scratch)
    else:
        raise DataError(f"a data set is npz, zip, tar or parquet, not {kind[:20]!r}")
    return with_numbers(raw, preprocess, split)

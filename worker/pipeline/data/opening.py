"""From a file and the name of its format to a `Dataset`."""

from collections.abc import Callable
from pathlib import Path

from app.contracts.settings import LimitSettings
from app.contracts.spec import PreprocessSpec, SplitSpec
from secateur.core.formats import DATASET_FORMATS, alternatives
from secateur.engine.errors import DataError
from worker.pipeline.data.dataset import Dataset
from worker.pipeline.data.folders import read_tar, read_zip
from worker.pipeline.data.images import ImageTarget
from worker.pipeline.data.npz import read_npz
from worker.pipeline.data.preprocess import with_colours, with_numbers
from worker.pipeline.data.raw import RawData

Reader = Callable[[Path, ImageTarget, Path], RawData]
"""Takes a file, what images are decoded to with the limits, and a private folder."""

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
        kind: The name of its format in `DATASET_FORMATS`.
        preprocess: How raw values become inputs.
        scratch: A private folder for unpacked arrays.
        limits: What is refused for its size.
        image_shape: (C, H, W) that images are decoded to, where the spec does not say.
        split: How samples are split where the file does not say.

    Raises:
        DataError: The file is not what it should be.
        DataTooLargeError: It is past a limit; value and limit are named.
    """
    format_ = next((each for each in DATASET_FORMATS.values() if each.name == kind), None)
    if format_ is None:
        names = alternatives(DATASET_FORMATS)
        raise DataError(f"a data set is {names}, not {kind[:20]!r}")
    if format_.holds_images:
        preprocess = with_colours(preprocess)
    target = ImageTarget(preprocess, limits, image_shape)
    return with_numbers(DATASET_READERS[kind](path, target, scratch), preprocess, split)


def _read_parquet(path: Path, target: ImageTarget, scratch: Path) -> RawData:
    from worker.pipeline.data.parquet import read_parquet  # noqa: PLC0415  # pyarrow: 15 MB

    return read_parquet(path, target, scratch)


DATASET_READERS: dict[str, Reader] = {
    "npz": read_npz,
    "zip": read_zip,
    "tar": read_tar,
    "parquet": _read_parquet,
}

"""Open a data set file of a named format as a `Dataset`."""

from collections.abc import Callable, Sequence
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
"""Function of the file, the target size and limits of images, and a private folder."""

_DEFAULT_SPLIT = SplitSpec()
_DEFAULT_LIMITS = LimitSettings()


def open_dataset(  # noqa: PLR0913  # a file and its reading options
    path: Path,
    kind: str,
    preprocess: PreprocessSpec,
    scratch: Path,
    *,
    limits: LimitSettings = _DEFAULT_LIMITS,
    image_shape: tuple[int, ...] | None = None,
    split: SplitSpec = _DEFAULT_SPLIT,
    task: str = "auto",
) -> Dataset:
    """Open an uploaded data set.

    Samples are unpacked into files in ``scratch`` and read from there batch by batch; they are
    never all in memory at once.

    Args:
        path: The file.
        kind: Name of the format in `DATASET_FORMATS`.
        preprocess: Preprocessing from raw values to network inputs.
        scratch: Private folder for unpacked arrays.
        limits: Size limits.
        image_shape: (C, H, W) to decode images to, if ``preprocess`` does not set it.
        split: How to draw the split if the file does not give one.
        task: The task in the job's config, for annotations that serve several.

    Raises:
        DataError: The file is not a valid data set of this format.
        DataTooLargeError: A limit is exceeded; the message names value and limit.
    """
    format_ = next((each for each in DATASET_FORMATS.values() if each.name == kind), None)
    if format_ is None:
        names = alternatives(DATASET_FORMATS)
        raise DataError(f"a data set is {names}, not {kind[:20]!r}")
    if format_.holds_images:
        preprocess = with_colours(preprocess)
    target = ImageTarget(preprocess, limits, image_shape, task)
    raw = DATASET_READERS[kind](path, target, scratch)
    _check_names(raw.labels.class_names)
    return with_numbers(raw, preprocess, split)


def _check_names(names: Sequence[str]) -> None:
    """Refuse names of classes that no database and no message takes.

    Raises:
        DataError: A name holds NUL, or half of a surrogate pair (JSON and tar files may).
    """
    for name in names:
        is_unicode = not any("\ud800" <= each <= "\udfff" for each in name)
        if "\0" in name or not is_unicode:
            raise DataError(
                f"the class {name[:80]!r} has a character that cannot be stored: rename the class"
            )


def _read_parquet(path: Path, target: ImageTarget, scratch: Path) -> RawData:
    from worker.pipeline.data.parquet import read_parquet  # noqa: PLC0415  # pyarrow: 15 MB

    return read_parquet(path, target, scratch)


DATASET_READERS: dict[str, Reader] = {
    "npz": read_npz,
    "zip": read_zip,
    "tar": read_tar,
    "parquet": _read_parquet,
}

"""Lists of VOC: ``ImageSets/Main/train.txt`` names the images of a split, one a line."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from app.contracts.images import SUFFIXES
from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError
from worker.pipeline.data.archives import Archive
from worker.pipeline.data.layouts.files import File, Parts, read_text, split_in_folders
from worker.pipeline.data.splits import SPLIT_WORDS, Split

_FOLDER = "imagesets"
_BOTH = "trainval"


class ImageSets:
    """Splits of the images by the lists of an archive, which may hold several years."""

    def __init__(
        self, others: Sequence[File], kind: str, archive: Archive, limits: LimitSettings
    ) -> None:
        """Read the lists.

        Args:
            others: The archive's files that are not images.
            kind: Their folder's name in lower case: ``main`` or ``segmentation``.
            archive: The archive.
            limits: Size limits.

        Raises:
            DataError: An image is in two lists.
            DataTooLargeError: A list is too large.
        """
        self._splits: dict[Parts, Split] = {}
        lists = {(f.parts[:-3], f.stem.casefold()): f for f in others if _is_list(f, kind)}
        self._roots = {root for root, _ in lists}
        for (root, name), file in lists.items():
            split = Split.TRAIN if name == _BOTH else SPLIT_WORDS[name]
            if name == _BOTH and any((root, each) in lists for each in ("train", "val")):
                continue  # it holds what they hold
            for line in read_text(archive, file, limits).splitlines():
                written = line.split()
                if not written:
                    continue
                key = (*root, _stem(PurePosixPath(written[0]).name))
                if self._splits.setdefault(key, split) != split:
                    raise DataError(
                        f"the image {written[0][:80]!r} is in {file.shown} and in another list: "
                        "keep one list an image"
                    )

    def has_lists(self, image: File) -> bool:
        """Return whether lists choose among the images of this one's root."""
        return any(image.parts[:depth] in self._roots for depth in range(len(image.parts)))

    def has(self, image: File) -> bool:
        """Return whether a list names the image, or no list could."""
        return not self.has_lists(image) or self._listed(image) is not None

    def split(self, image: File) -> Split | None:
        """Return the split of an image: its list's, or its folder's where there are no lists."""
        return self._listed(image) if self.has_lists(image) else split_in_folders(image.parts)

    def _listed(self, image: File) -> Split | None:
        keys = ((*image.parts[:depth], image.stem) for depth in range(len(image.parts)))
        return next((self._splits[key] for key in keys if key in self._splits), None)


def _is_list(file: File, kind: str) -> bool:
    folders = [part.casefold() for part in file.parts[-3:-1]]
    name = file.stem.casefold()
    is_split = name == _BOTH or name in SPLIT_WORDS
    return folders == [_FOLDER, kind] and file.suffix == ".txt" and is_split


def _stem(name: str) -> str:
    """Return a listed name without an image's suffix; VOC lists names without one."""
    path = PurePosixPath(name)
    return path.stem if path.suffix.lower() in SUFFIXES else name

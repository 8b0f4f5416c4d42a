"""Files of an archive, and looking them up by the paths that annotations write."""

import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
from worker.pipeline.data.archives import Archive, Member
from worker.pipeline.data.splits import SPLIT_WORDS, Split, split_named

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class File:
    """File of the archive, with its folders and name normalised (NFC) for comparison."""

    member: Member
    parts: Parts

    @property
    def shown(self) -> str:
        """Its name in messages."""
        return repr(self.member.name[:80])

    @property
    def suffix(self) -> str:
        """Suffix of its name, in lower case."""
        return PurePosixPath(self.parts[-1]).suffix.lower()

    @property
    def stem(self) -> str:
        """Its name without the suffix."""
        return PurePosixPath(self.parts[-1]).stem


class Finder:
    """Images by the paths that an annotation file writes."""

    def __init__(self, images: Sequence[File]) -> None:
        self._by_parts = {image.parts: image for image in images}
        self._by_tail: defaultdict[str, list[File]] = defaultdict(list)
        for image in images:
            self._by_tail[image.parts[-1]].append(image)

    def find(self, written: str, beside: Parts) -> File | None:
        """Return the image that a path means: from the file's folder, the root, or by its end.

        Args:
            written: The path in the annotation file.
            beside: Folders of that file.

        Raises:
            DataError: Several images end in this path.
        """
        plain = unicodedata.normalize("NFC", written.replace("\\", "/"))
        parts = tuple(part for part in plain.split("/") if part not in {"", "."})
        if not parts:
            return None
        for start in ((*beside, *parts), parts):
            if start in self._by_parts:
                return self._by_parts[start]
        found = [f for f in self._by_tail.get(parts[-1], []) if f.parts[-len(parts) :] == parts]
        if not found:  # an absolute path of another machine: the name alone
            found = self._by_tail.get(parts[-1], [])
        if len(found) > 1:
            raise DataError(
                f"{written[:80]!r} could mean {found[0].shown} or {found[1].shown}: write paths "
                "from the annotation file's folder"
            )
        return found[0] if found else None


def read_text(archive: Archive, file: File, limits: LimitSettings) -> str:
    """Return the text of an annotation file.

    Raises:
        DataError: It is not UTF-8.
        DataTooLargeError: It is too large.
    """
    most = limits.annotation_bytes
    if file.member.num_bytes > most:
        raise DataTooLargeError(
            f"annotation file {file.shown} is {file.member.num_bytes} bytes, at most {most}"
        )
    try:
        return archive.read(file.member).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"annotation file {file.shown} is not UTF-8: {error}") from error


def split_in_folders(parts: Parts) -> Split | None:
    """Return the split that a folder of a path names, the innermost one first."""
    return next((s for part in reversed(parts[:-1]) if (s := split_named(part)) is not None), None)


def split_in_name(stem: str) -> Split | None:
    """Return the only split among the words of a file's name: ``instances_train2017``."""
    words = "".join(c if c.isalpha() else " " for c in stem.casefold()).split()
    found = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    return found.pop() if len(found) == 1 else None


def checked_splits(splits: Sequence[Split | None], names: Sequence[str]) -> list[Split] | None:
    """Return the splits if all images have one, None if none has.

    Raises:
        DataError: Only some images have a split, or none is for training.
    """
    known = [split for split in splits if split is not None]
    if not known:
        return None
    if len(known) < len(splits):
        name = names[splits.index(None)]
        raise DataError(
            f"some images are in a split and some are not, such as {name}: put every image into a "
            "split, or none"
        )
    if Split.TRAIN not in known:
        raise DataError("no image is for training: name a folder or an annotation file 'train'")
    return known if set(known) != {Split.TRAIN} else None


def read_class_names(others: Sequence[File], archive: Archive, limits: LimitSettings) -> list[str]:
    """Return the names in ``classes.txt`` or ``labels.txt``, one a line; empty without it.

    Raises:
        DataError: It is not UTF-8.
        DataTooLargeError: It is too large.
    """
    files = [f for f in others if f.parts[-1].casefold() in {"classes.txt", "labels.txt"}]
    lines = read_text(archive, files[0], limits).splitlines() if files else []
    return [line.strip()[:200] for line in lines if line.strip()]

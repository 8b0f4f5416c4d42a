"""Pairs of images that show the same or not: a CSV or TSV file beside the images.

A line has two images and whether they show the same. Images that are the same, also by way of
others, are one identity; an image that is only in pairs of different ones is alone.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.contracts.placement import Placement
from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError
from worker.pipeline.data.archives import Archive
from worker.pipeline.data.layouts.annotated import Annotated
from worker.pipeline.data.layouts.files import (
    File,
    Finder,
    checked_splits,
    read_text,
    split_in_folders,
    split_in_name,
)
from worker.pipeline.data.left_out import leave_out
from worker.pipeline.data.splits import Split

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
_SAME = frozenset({"1", "1.0", "same", "true", "yes", "positive"})
_DIFFERENT = frozenset({"0", "0.0", "-1", "different", "false", "no", "negative"})
_NUM_COLUMNS = 3
_NUM_TRIED = 5


def find_pairs(
    images: Sequence[File], others: Sequence[File], archive: Archive, limits: LimitSettings
) -> Annotated | None:
    """Return the images of pairs with their identities; None if no file lists pairs.

    Raises:
        DataError: A line names no image, or says neither same nor different; or pairs contradict
            each other.
        DataTooLargeError: A limit is exceeded.
    """
    finder = Finder(images)
    files = [
        (file, read_text(archive, file, limits)) for file in others if file.suffix in _SEPARATORS
    ]
    files = [(file, text) for file, text in files if _lists_pairs(file, text, finder)]
    if not files:
        return None
    splits: dict[File, Split | None] = {}
    pairs: list[_Pair] = []
    for file, text in files:
        split = split_in_name(file.stem)
        for pair in _pairs(file, text, finder):
            pairs.append(pair)
            for image in pair.images:
                own = split if split is not None else split_in_folders(image.parts)
                if splits.setdefault(image, own) != own:
                    raise DataError(
                        f"{pair.where} puts the image {image.shown} into a second split"
                    )
    identities = _Identities(pairs)
    chosen = sorted(splits, key=lambda image: image.parts)
    roots = {root: n for n, root in enumerate(dict.fromkeys(map(identities.of, chosen)))}
    numbers = np.array([roots[identities.of(image)] for image in chosen], np.int64)
    if len(roots) == len(chosen):
        raise DataError(
            f"no line of {files[0][0].shown} names two images that show the same: recall needs some"
        )

    def label(number: int, place: Placement, size: tuple[int, int]) -> NDArray[np.int64]:
        del place, size
        return numbers[number : number + 1].reshape(())

    return Annotated(
        kind="identities",
        images=chosen,
        label=label,
        shape=lambda _: (),
        dtype=numbers.dtype,
        splits=checked_splits(
            [splits[image] for image in chosen], [image.shown for image in chosen]
        ),
        class_names=tuple(map(str, range(len(roots)))),
        are_named=False,
        counts=tuple(np.bincount(numbers).tolist()),
        notes=(f"pairs of the same make {len(roots)} identities of {len(chosen)} images",),
        left_out=leave_out(
            "file", "an image in no pair", (i.member.name for i in images if i not in splits)
        ),
    )


@dataclass(frozen=True)
class _Pair:
    """Two images, whether they show the same, and the line that says so."""

    images: tuple[File, File]
    is_same: bool
    where: str


class _Identities:
    """Sets of images that show the same (union-find)."""

    def __init__(self, pairs: Sequence[_Pair]) -> None:
        """Join the images of pairs.

        Raises:
            DataError: Pairs contradict each other.
        """
        self._parents: dict[File, File] = {}
        for pair in pairs:
            if pair.is_same:
                first, second = map(self.of, pair.images)
                self._parents[first] = second
        for pair in pairs:
            first, second = pair.images
            if not pair.is_same and self.of(first) == self.of(second):
                raise DataError(
                    f"{pair.where} says that {first.shown} and {second.shown} differ; other pairs "
                    "say that they show the same"
                )

    def of(self, image: File) -> File:
        """Return the image that stands for the set of this one."""
        path = []
        while (parent := self._parents.get(image, image)) != image:
            path.append(image)
            image = parent
        for each in path:
            self._parents[each] = image
        return image


def _rows(file: File, text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield where a row is, and its values.

    Raises:
        DataError: The file is not CSV.
    """
    reader = csv.reader(text.splitlines(), delimiter=_SEPARATORS[file.suffix])
    try:
        for row in reader:
            if any(value.strip() for value in row):
                yield f"line {reader.line_num} of {file.shown}", [value.strip() for value in row]
    except csv.Error as error:
        raise DataError(f"line {reader.line_num} of {file.shown} is damaged: {error}") from error


def _lists_pairs(file: File, text: str, finder: Finder) -> bool:
    head = "\n".join(text[:65_536].splitlines()[:_NUM_TRIED])
    rows = [row for _, row in _rows(file, head)]
    return any(
        len(row) == _NUM_COLUMNS and all(finder.find(each, file.parts[:-1]) for each in row[:2])
        for row in rows
    )


def _pairs(file: File, text: str, finder: Finder) -> Iterator[_Pair]:
    for number, (where, row) in enumerate(_rows(file, text)):
        if len(row) != _NUM_COLUMNS:
            raise DataError(
                f"{where} has {len(row)} values; a pair is two images, and 1 if they show the same "
                "or 0"
            )
        found = [finder.find(each, file.parts[:-1]) for each in row[:2]]
        if number == 0 and found == [None, None]:
            continue  # the names of the columns
        first, second = found
        if first is None or second is None:
            missing = row[0] if first is None else row[1]
            raise DataError(
                f"{where} names the image {missing[:80]!r}, which the archive does not have"
            )
        said = row[2].casefold()
        if said not in _SAME | _DIFFERENT:
            raise DataError(
                f"{where} says {row[2][:40]!r}; a pair has 1 if both images show the same, or 0"
            )
        yield _Pair((first, second), said in _SAME, where)

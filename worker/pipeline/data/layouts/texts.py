"""Lines of text: a file with ``image<TAB>text`` a line, beside the images.

``characters.txt`` lists the characters in the order of the network's classes, one a line, without
the blank. Without it, the characters of the texts are sorted.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from app.contracts.placement import Placement
from app.contracts.settings import LimitSettings
from secateur.engine.errors import DataError, DataTooLargeError
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

PADDING = -1
_LISTS = frozenset({"characters.txt", "dict.txt", "charset.txt", "alphabet.txt", "keys.txt"})
_NUM_TRIED = 5
_SUFFIXES = frozenset({".txt", ".tsv"})


def find_texts(
    images: Sequence[File], others: Sequence[File], archive: Archive, limits: LimitSettings
) -> Annotated | None:
    """Return the images and texts of an archive; None if no file lists them.

    Raises:
        DataError: A line has no tab, names no image, or has a character that the list lacks.
        DataTooLargeError: A limit is exceeded.
    """
    finder = Finder(images)
    lists = [file for file in others if file.parts[-1].casefold() in _LISTS]
    files = [file for file in others if file.suffix in _SUFFIXES and file not in lists]
    texts = {file: read_text(archive, file, limits) for file in files if _may_list(archive, file)}
    texts = {file: text for file, text in texts.items() if _lists_images(file, text, finder)}
    if not texts:
        return None
    found: dict[File, tuple[str, Split | None]] = {}
    for file, text in texts.items():
        split = split_in_name(file.stem)
        for number, line in enumerate(text.split("\n"), 1):  # texts may hold other separators
            if not line.strip():
                continue
            image, written = _line(line, f"line {number} of {file.shown}", file, finder)
            if image in found:
                raise DataError(f"image {image.shown} has two texts")
            found[image] = written, split if split is not None else split_in_folders(image.parts)
    chosen = sorted(found, key=lambda image: image.parts)
    lines = [found[image][0] for image in chosen]
    characters, notes = _characters(lists, lines, archive, limits)
    labels = _labels(chosen, lines, characters, limits)

    def label(number: int, place: Placement, size: tuple[int, int]) -> NDArray[np.int32]:
        del place, size
        found: NDArray[np.int32] = labels[number]
        return found

    return Annotated(
        kind="texts",
        images=chosen,
        label=label,
        shape=lambda _: labels.shape[1:],
        dtype=labels.dtype,
        splits=checked_splits(
            [found[image][1] for image in chosen], [image.shown for image in chosen]
        ),
        class_names=tuple(characters),
        are_named=bool(lists),
        notes=notes,
        left_out=leave_out(
            "file", "an image without a text", (i.member.name for i in images if i not in found)
        ),
    )


def _may_list(archive: Archive, file: File) -> bool:
    return file.member.num_bytes > 0 and b"\t" in archive.read(file.member)[:65_536]


def _lists_images(file: File, text: str, finder: Finder) -> bool:
    lines = islice((line for line in text.split("\n") if "\t" in line), _NUM_TRIED)
    return any(finder.find(line.split("\t")[0], file.parts[:-1]) is not None for line in lines)


def _line(line: str, where: str, file: File, finder: Finder) -> tuple[File, str]:
    path, tab, written = line.partition("\t")
    if not tab:
        raise DataError(f"{where} has no tab: write the image, a tab, and the text")
    image = finder.find(path, file.parts[:-1])
    if image is None:
        raise DataError(f"{where} names the image {path[:80]!r}, which the archive does not have")
    return image, written.rstrip("\r")


def _characters(
    lists: Sequence[File], lines: Sequence[str], archive: Archive, limits: LimitSettings
) -> tuple[list[str], tuple[str, ...]]:
    if len(lists) > 1:
        raise DataError(f"{lists[0].shown} and {lists[1].shown} both list characters: keep one")
    if not lists:
        found = sorted(set("".join(lines)))
        note = (
            f"there is no characters.txt: the {len(found)} characters of the texts are numbered in "
            "the order of their code points. If the network was trained with another order, add "
            "the file, one character a line"
        )
        _check_number(len(found), limits)
        return found, (note,)
    rows = read_text(archive, lists[0], limits).split("\n")
    found = [row.removesuffix("\r") for row in rows]
    while found and not found[-1]:
        found.pop()
    wrong = next((number for number, each in enumerate(found, 1) if len(each) != 1), None)
    if wrong is not None:
        raise DataError(
            f"line {wrong} of {lists[0].shown} is {found[wrong - 1][:20]!r}; every line has one "
            "character, and the blank has none"
        )
    _check_number(len(found), limits)
    (twice, number), *_ = [*Counter(found).most_common(1), ("", 0)]
    if number > 1:
        raise DataError(f"{lists[0].shown} has the character {twice!r} {number} times")
    return found, ()


def _check_number(number: int, limits: LimitSettings) -> None:
    if number > limits.classes:
        raise DataTooLargeError(f"there are {number} characters, at most {limits.classes}")


def _labels(
    images: Sequence[File], lines: Sequence[str], characters: Sequence[str], limits: LimitSettings
) -> NDArray[np.int32]:
    longest = max((1, *map(len, lines)))
    if longest * len(lines) > limits.label_values:
        raise DataTooLargeError(
            f"{len(lines)} texts of up to {longest} characters take {longest * len(lines)} label "
            f"values, at most {limits.label_values}"
        )
    # A space is often a class of its own after the list, as in PaddleOCR: `fit` adds it.
    numbers = {each: number for number, each in enumerate(characters)}
    numbers.setdefault(" ", len(characters))
    found = np.full((len(lines), longest), PADDING, np.int32)
    for row, (image, line) in enumerate(zip(images, lines, strict=True)):
        for place, each in enumerate(line):
            if each not in numbers:
                raise DataError(
                    f"the text of {image.shown} has {each!r}, which the list of characters lacks"
                )
            found[row, place] = numbers[each]
    return found

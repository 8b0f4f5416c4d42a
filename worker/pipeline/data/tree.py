"""Classes and splits from a tree of folders, with the rules of torchvision's ``ImageFolder``.

The class of an image is the first folder below the root, or below the folder of its split. The root
is the innermost folder that contains everything. An ambiguous tree is refused or noted, never
resolved silently. This module looks only at names; `folders` reads the files.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from secateur.engine.errors import DataError
from worker.pipeline.data.left_out import shown
from worker.pipeline.data.splits import Split, split_named, splits_named

Path = tuple[str, ...]

BESIDE = "beside the class folders"
UNLABELLED_SPLIT = "in a split without class folders"
_STRAY_SHARE = 0.25  # a larger share of images beside the class folders is no accident
# Folders named for the type of their files, not for the content of the images.
_GENERIC = frozenset(
    {"images", "image", "imgs", "img", "jpegimages", "photos", "pictures", "data", "dataset"}
)
_NO_CLASS = _GENERIC | {"labels", "annotations", "masks", "mask", "train", "val", "test", "classes"}
_INNER_SPLITS = "They are not read as splits: for that, put the class folders into train/ and test/"
_INNER_CLASSES = "If the inner folders are the classes, pack them without the outer ones"


@dataclass(frozen=True)
class Tree:
    """Interpretation of a tree of folders.

    Attributes:
        classes: Class of each image, ``""`` if it is left out; None without classes.
        splits: Split of each image; None if the folders give no splits.
        left_out: Index of each image that is not read, with the reason.
        notes: Notes for the user, as sentences.
    """

    classes: list[str] | None
    splits: list[Split] | None
    left_out: dict[int, str]
    notes: tuple[str, ...]


def understand(paths: Sequence[Path], folders: Iterable[Path]) -> Tree:
    """Interpret the folders of images.

    Args:
        paths: Folders and file name of each image.
        folders: Folders that hold other files, or none.

    Raises:
        DataError: The tree is ambiguous, or has no training images.
    """
    left_out: dict[int, str] = {}
    level = _Level((), dict(enumerate(paths)))
    while True:
        level = _without_strays(level, left_out)
        first = level.firsts()
        splits = splits_named(first)
        if not first:
            return Tree(None, None, left_out, ())
        if splits is not None and not _is_wrapper_of_training(level, splits):
            return _split(level, splits, left_out, folders)
        if len(first) > 1 or not _is_wrapper(level):
            break
        level = level.inner(next(iter(first)))
    _refuse_half_split(level)
    if len(first) == 1 and _is_generic(next(iter(first))):
        return Tree(None, None, left_out, (_no_class_note(next(iter(first))),))
    return _classes([level], None, left_out, folders, len(paths))


class _Level:
    """Images in one folder, with their paths relative to it."""

    def __init__(self, root: Path, rest: dict[int, Path]) -> None:
        self.root, self.rest = root, rest

    def firsts(self) -> set[str]:
        """Return the subfolders that contain images."""
        return {path[0] for path in self.rest.values() if len(path) > 1}

    def inner(self, name: str) -> "_Level":
        """Return a subfolder as a level."""
        inside = {i: p[1:] for i, p in self.rest.items() if p[0] == name and len(p) > 1}
        return _Level((*self.root, name), inside)


def _without_strays(level: _Level, left_out: dict[int, str]) -> _Level:
    """Leave out the few images beside folders of images, as ``ImageFolder`` does."""
    strays = [i for i, path in level.rest.items() if len(path) == 1]
    if not strays or len(strays) == len(level.rest):
        return level
    if len(strays) >= _STRAY_SHARE * len(level.rest):
        name = "/".join((*level.root, *level.rest[strays[0]]))
        raise DataError(
            f"{len(strays)} of {len(level.rest)} images are not in a class folder, such as entry "
            f"{name[:80]!r}: put every image into the folder of its class, or all into one folder"
        )
    left_out.update(dict.fromkeys(strays, BESIDE))
    return _Level(level.root, {i: p for i, p in level.rest.items() if len(p) > 1})


def _is_wrapper(level: _Level) -> bool:
    """Return whether nearly all images lie in subfolders of the level's only folder."""
    depths = Counter(len(path) > 2 for path in level.rest.values())  # noqa: PLR2004  # folder/…/file
    return depths[False] < _STRAY_SHARE * len(level.rest)


def _is_wrapper_of_training(level: _Level, splits: dict[str, Split]) -> bool:
    """Return whether the only split is training, which means that no split is given."""
    return set(splits.values()) == {Split.TRAIN} and len(splits) == 1 and _is_wrapper(level)


def _refuse_half_split(level: _Level) -> None:
    """Raise `DataError` if a ``train`` folder with subfolders lies beside other, non-split ones."""
    firsts = level.firsts()
    train = {name for name in firsts if split_named(name) is Split.TRAIN or _looks_split(name)}
    outside = sorted(firsts - {name for name in firsts if split_named(name) is not None} - train)
    has_folders = any(len(p) > 2 and p[0] in train for p in level.rest.values())  # noqa: PLR2004
    if not has_folders or not outside:
        return
    raise DataError(
        f"some images lie under train/, val/ or test/ and some do not: beside {min(train)!r} there "
        f"is {shown(outside)}. Pack only the split folders, or only the class folders"
    )


def _looks_split(name: str) -> bool:
    found = splits_named([name])
    return found is not None and Split.TRAIN in found.values()


def _split(
    level: _Level, splits: dict[str, Split], left_out: dict[int, str], folders: Iterable[Path]
) -> Tree:
    if Split.TRAIN not in splits.values():
        raise DataError(
            f"no image lies under train/: there is only {shown(sorted(splits))}. Add a folder "
            "'train', or pack the folder's contents to have splits drawn"
        )
    levels = {name: _inside_of_split(level.inner(name), left_out) for name in sorted(splits)}
    is_flat = {name: not inner.firsts() for name, inner in levels.items()}
    trains = [name for name, split in splits.items() if split is Split.TRAIN]
    by_position = {i: splits[name] for name, inner in levels.items() for i in inner.rest}
    if all(is_flat.values()):
        if set(splits.values()) == {Split.TRAIN}:
            return Tree(None, None, left_out, ())
        splits_of = [by_position.get(i, Split.TRAIN) for i in range(_total(level, left_out))]
        return Tree(None, splits_of, left_out, ())
    if any(is_flat[name] for name in trains):
        raise DataError(
            "the images under train/ have no class folders, but those of other splits do: use "
            "class folders in every split, or in none"
        )
    for name, inner in levels.items():
        if is_flat[name]:
            left_out.update(dict.fromkeys(inner.rest, UNLABELLED_SPLIT))
    labelled = [inner for name, inner in levels.items() if not is_flat[name]]
    return _classes(labelled, by_position, left_out, folders, _total(level, left_out))


def _total(level: _Level, left_out: dict[int, str]) -> int:
    return len(level.rest.keys() | left_out.keys())


def _inside_of_split(level: _Level, left_out: dict[int, str]) -> _Level:
    """Return the level below a split, skipping folders that repeat its name or say ``images``."""
    while True:
        level = _without_strays(level, left_out)
        firsts = level.firsts()
        if len(firsts) != 1:
            return level
        name = next(iter(firsts))
        if name != level.root[-1] and not _is_generic(name):
            return level
        level = level.inner(name)


def _classes(
    levels: Sequence[_Level],
    by_position: dict[int, Split] | None,
    left_out: dict[int, str],
    folders: Iterable[Path],
    num_images: int,
) -> Tree:
    classes = [""] * num_images
    inner: set[str] = set()
    for level in levels:
        for position, path in level.rest.items():
            classes[position] = path[0]
            inner.update(path[1:-1])
    names = sorted({name for name in classes if name})
    notes = list(_name_notes(names))
    if inner:
        notes.append(
            f"class folders hold folders ({shown(sorted(inner))}): their images belong to the "
            "class of the outer folder. "
            f"{_INNER_SPLITS if splits_named(inner) else _INNER_CLASSES}"
        )
    empty = _empty_folders([level.root for level in levels], set(names), folders)
    if empty:
        is_one = len(empty) == 1
        notes.append(
            f"the folder{'' if is_one else 's'} {shown(empty)} {'holds' if is_one else 'hold'} no "
            f"image: {'it is not a class' if is_one else 'they are not classes'}, and classes are "
            f"numbered without {'it' if is_one else 'them'}"
        )
    splits = None
    if by_position is not None:
        splits = [by_position.get(i, Split.TRAIN) for i in range(num_images)]
    return Tree(classes, splits, left_out, tuple(notes))


def _name_notes(names: Sequence[str]) -> Iterable[str]:
    """Yield notes on class names, which are sorted."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.casefold().strip(), []).append(name)
    for twins in alike.values():
        if len(twins) > 1:
            yield (
                f"the class folders {shown(twins)} differ only in case or spaces: they are read as "
                f"{len(twins)} classes"
            )
    yield from number_notes(names)
    odd = [name for name in names if name.casefold() in _NO_CLASS]
    if odd:
        yield f"{shown(odd)} {'is' if len(odd) == 1 else 'are'} read as a class: is that meant?"


def number_notes(names: Sequence[str]) -> Iterable[str]:
    """Yield notes on names that are numbers: sorted as text, ``10`` comes before ``2``."""
    if not all(name.isdecimal() and name.isascii() for name in names):
        return
    by_number = sorted(names, key=int)
    wrong = next((pair for pair in zip(names, by_number, strict=True) if pair[0] != pair[1]), None)
    if wrong is not None:
        yield (
            f"class folders are numbered by their names as text, as in torchvision: {wrong[0]!r} "
            f"comes before {wrong[1]!r}, so class {names.index(wrong[0])} of the network is "
            f"{wrong[0]!r}"
        )
    elif int(names[0]) == 1:
        yield "the class folders start at '1', which is class 0 of the network, as in torchvision"


def _empty_folders(roots: Iterable[Path], names: set[str], folders: Iterable[Path]) -> list[str]:
    depths = set(roots)
    found = set()
    for folder in folders:
        for root in depths:
            if len(folder) > len(root) and folder[: len(root)] == root:
                found.add(folder[len(root)])
    return sorted(found - names)


def _is_generic(name: str) -> bool:
    return name.casefold() in _GENERIC


def _no_class_note(name: str) -> str:
    return f"all images are in one folder, {name!r}, which is not read as a class"

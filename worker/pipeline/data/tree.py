"""What a tree of folders means: classes and splits, as torchvision's ``ImageFolder`` reads one.

The class of an image is the first folder below the root, or below the folder of its split. The root
is the innermost folder around everything. What can be understood in two ways is refused or said,
never settled without a word. Names alone are looked at; `folders` reads the files.
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
_STRAY_SHARE = 0.25  # of the images; more than that are no slip
# Folders that say what files are, not what is in the picture.
_GENERIC = frozenset(
    {"images", "image", "imgs", "img", "jpegimages", "photos", "pictures", "data", "dataset"}
)
_NO_CLASS = _GENERIC | {"labels", "annotations", "masks", "mask", "train", "val", "test", "classes"}
_INNER_SPLITS = "They are read as no splits: for that put train/ and test/ around the classes"
_INNER_CLASSES = "If the inner ones are the classes, pack them without the folders around"


@dataclass(frozen=True)
class Tree:
    """What was understood.

    Attributes:
        classes: The class of each image, ``""`` where it is left out; None where there are none.
        splits: The split of each image; None where the folders do not say.
        left_out: Positions of images that are not read, with the reason.
        notes: What the user should know, in sentences.
    """

    classes: list[str] | None
    splits: list[Split] | None
    left_out: dict[int, str]
    notes: tuple[str, ...]


def understand(paths: Sequence[Path], folders: Iterable[Path]) -> Tree:
    """Return what the folders of images mean.

    Args:
        paths: Of each image: its folders and its own name.
        folders: Of files that are no images, and of folders without files.

    Raises:
        DataError: It could mean several things.
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
    """The images in one folder: what is left of their paths below it."""

    def __init__(self, root: Path, rest: dict[int, Path]) -> None:
        self.root, self.rest = root, rest

    def firsts(self) -> set[str]:
        """Return the folders that images are in."""
        return {path[0] for path in self.rest.values() if len(path) > 1}

    def inner(self, name: str) -> "_Level":
        """Return one of the folders."""
        inside = {i: p[1:] for i, p in self.rest.items() if p[0] == name and len(p) > 1}
        return _Level((*self.root, name), inside)


def _without_strays(level: _Level, left_out: dict[int, str]) -> _Level:
    """Leave out the few images that lie beside folders of images, as ``ImageFolder`` does."""
    strays = [i for i, path in level.rest.items() if len(path) == 1]
    if not strays or len(strays) == len(level.rest):
        return level
    if len(strays) >= _STRAY_SHARE * len(level.rest):
        name = "/".join((*level.root, *level.rest[strays[0]]))
        raise DataError(
            f"{len(strays)} of {len(level.rest)} images are in no class folder, such as entry "
            f"{name[:80]!r}: put every image into the folder of its class, or all into one folder"
        )
    left_out.update(dict.fromkeys(strays, BESIDE))
    return _Level(level.root, {i: p for i, p in level.rest.items() if len(p) > 1})


def _is_wrapper(level: _Level) -> bool:
    """Return whether the one folder of a level holds folders with nearly all images."""
    depths = Counter(len(path) > 2 for path in level.rest.values())  # noqa: PLR2004  # folder/…/file
    return depths[False] < _STRAY_SHARE * len(level.rest)


def _is_wrapper_of_training(level: _Level, splits: dict[str, Split]) -> bool:
    """Return whether everything is for training: then nothing is said about splits."""
    return set(splits.values()) == {Split.TRAIN} and len(splits) == 1 and _is_wrapper(level)


def _refuse_half_split(level: _Level) -> None:
    """Raise where ``train`` with folders inside has neighbours that are no split."""
    firsts = level.firsts()
    train = {name for name in firsts if split_named(name) is Split.TRAIN or _looks_split(name)}
    outside = sorted(firsts - {name for name in firsts if split_named(name) is not None} - train)
    has_folders = any(len(p) > 2 and p[0] in train for p in level.rest.values())  # noqa: PLR2004
    if not has_folders or not outside:
        return
    raise DataError(
        f"some images lie under train/, val/ or test/ and some do not: beside {min(train)!r} there "
        f"is {shown(outside)}. Pack the folders of the splits alone, or those of the classes"
    )


def _looks_split(name: str) -> bool:
    found = splits_named([name])
    return found is not None and Split.TRAIN in found.values()


def _split(
    level: _Level, splits: dict[str, Split], left_out: dict[int, str], folders: Iterable[Path]
) -> Tree:
    if Split.TRAIN not in splits.values():
        raise DataError(
            f"no image lies under train/: there is {shown(sorted(splits))} alone. Add a folder "
            "'train', or pack what is inside of the folder to have splits drawn"
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
        raise DataError("the images under train/ have no class folders, those of other splits have")
    for name, inner in levels.items():
        if is_flat[name]:
            left_out.update(dict.fromkeys(inner.rest, UNLABELLED_SPLIT))
    labelled = [inner for name, inner in levels.items() if not is_flat[name]]
    return _classes(labelled, by_position, left_out, folders, _total(level, left_out))


def _total(level: _Level, left_out: dict[int, str]) -> int:
    return len(level.rest.keys() | left_out.keys())


def _inside_of_split(level: _Level, left_out: dict[int, str]) -> _Level:
    """Return what is below a split, without folders that repeat its name or say ``images``."""
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
            f"class, the outer folder. {_INNER_SPLITS if splits_named(inner) else _INNER_CLASSES}"
        )
    empty = _empty_folders([level.root for level in levels], set(names), folders)
    if empty:
        is_one = len(empty) == 1
        notes.append(
            f"the folder{'' if is_one else 's'} {shown(empty)} {'holds' if is_one else 'hold'} no "
            f"image: {'it is no class' if is_one else 'they are no classes'}, and what comes "
            "after it by name is numbered without it"
        )
    splits = None
    if by_position is not None:
        splits = [by_position.get(i, Split.TRAIN) for i in range(num_images)]
    return Tree(classes, splits, left_out, tuple(notes))


def _name_notes(names: Sequence[str]) -> Iterable[str]:
    """Yield what is odd about the names of classes, which are in order."""
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(name.casefold().strip(), []).append(name)
    for twins in alike.values():
        if len(twins) > 1:
            yield (
                f"the class folders {shown(twins)} differ in case or spaces alone: they are "
                f"{len(twins)} classes"
            )
    yield from number_notes(names)
    odd = [name for name in names if name.casefold() in _NO_CLASS]
    if odd:
        yield f"{shown(odd)} {'is' if len(odd) == 1 else 'are'} read as a class: is that meant?"


def number_notes(names: Sequence[str]) -> Iterable[str]:
    """Yield what is odd about names that are numbers: text puts ``10`` before ``2``."""
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
        yield "the class folders begin at '1': it is class 0 of the network, as in torchvision"


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
    return f"all images are in one folder, {name!r}, which is read as no class"

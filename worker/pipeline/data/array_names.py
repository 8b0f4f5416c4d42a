"""Roles of the arrays in a ``.npz`` file, found by name: ``y_train``, ``val_images``."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from secateur.engine.errors import DataError
from worker.pipeline.data.splits import SPLIT_WORDS, Split

# In order of preference; `numpy.savez` names positional arrays arr_0 and arr_1.
_SAMPLES: tuple[str, ...] = (
    "x",
    "xs",
    "images",
    "image",
    "imgs",
    "img",
    "data",
    "samples",
    "sample",
)
_SAMPLES += ("inputs", "input", "features", "arr_0")
_LABELS = ("y", "ys", "labels", "label", "targets", "target", "classes", "class", "arr_1")
_BREAKS = " _.-"
_LONGEST_FIRST = sorted(SPLIT_WORDS, key=len, reverse=True)


@dataclass(frozen=True)
class Part:
    """The arrays of one split.

    Attributes:
        split: The split; None if the names do not tell, which means training.
        x: Name of the array of samples.
        y: Name of the array of labels, if any.
    """

    split: Split | None
    x: str
    y: str | None


def find_parts(names: Iterable[str]) -> list[Part]:
    """Return the parts of a file, training first.

    Raises:
        DataError: There are no training samples, only some parts have labels, or two arrays could
            be the same part.
    """
    known = sorted(names)
    found_xs, found_ys = _find(known, _SAMPLES), _find(known, _LABELS)
    if not found_xs:
        raise DataError(
            "the .npz file has no array 'x' (or 'images' or 'data', each optionally with '_train', "
            f"'_val' or '_test'), only {known[:10]}"
        )
    for one in (found_xs, found_ys):
        if None in one and Split.TRAIN in one:
            raise DataError(
                f"{one[None]!r} and {one[Split.TRAIN]!r} could both belong to the training "
                "samples: keep one"
            )
    xs, ys = _as_training(found_xs), _as_training(found_ys)
    if Split.TRAIN not in xs:
        raise DataError(f"the .npz file has no array of training samples, only {known[:10]}")
    for split, y in ys.items():
        if split not in xs:
            raise DataError(f"{y!r} holds labels for samples that are not in the .npz file")
    for split, x in xs.items():
        if ys and split not in ys:
            raise DataError(
                f"the .npz file has {next(iter(ys.values()))!r} but no array {_twin(x, ys)!r}: "
                "every split needs labels, or none"
            )
    return [Part(split, xs[split], ys.get(split)) for split in Split if split in xs]


def _find(names: list[str], roles: tuple[str, ...]) -> dict[Split | None, str]:
    """Return the arrays, by split, of the first role that any name matches."""
    for role in roles:
        found: dict[Split | None, str] = {}
        for name in names:
            parsed = _parse(name)
            if role not in parsed:
                continue
            split = parsed[role]
            if split in found:
                raise DataError(
                    f"the arrays {found[split]!r} and {name!r} mean the same thing: keep one"
                )
            found[split] = name
        if found:
            return found
    return {}


def _parse(name: str) -> dict[str, Split | None]:
    """Return the possible roles in a name, each with its split."""
    plain = name.casefold()
    found: dict[str, Split | None] = {plain: None}
    for word in _LONGEST_FIRST:
        if plain.startswith(word):
            found.setdefault(plain.removeprefix(word).strip(_BREAKS), SPLIT_WORDS[word])
        if plain.endswith(word):
            found.setdefault(plain.removesuffix(word).strip(_BREAKS), SPLIT_WORDS[word])
    return found


def _as_training(found: Mapping[Split | None, str]) -> dict[Split, str]:
    return {Split.TRAIN if split is None else split: name for split, name in found.items()}


def _twin(x: str, ys: Mapping[Split, str]) -> str:
    """Return the expected name of the labels of the samples ``x``."""
    y_role = next(iter(ys.values()))[:1]
    return y_role + x[1:] if x[:1].casefold() == "x" else f"the labels of {x}"

"""Notes for the user about unusual labels, pixel values and splits, as sentences."""

from collections.abc import Iterator, Mapping, Sequence

from secateur.engine.objectives import LabelKind
from worker.pipeline.data.splits import Split
from worker.pipeline.data.statistics import Statistics

_UNEVEN = 3.0  # largest class over smallest class
_FEW_SAMPLES = 100
_MAX_SHOWN = 5
_UNSCALED, _BYTE = 64.0, 255.0  # a maximum in this range suggests pixels not divided by 255


def imbalance(counts: Sequence[int]) -> float | None:
    """Return the ratio of the largest class to the smallest non-empty one."""
    present = [count for count in counts if count > 0]
    return round(max(present) / min(present), 3) if present else None


def label_notes(
    kind: LabelKind, class_names: Sequence[str], train_counts: Sequence[int]
) -> list[str]:
    """Return notes on the labels.

    Args:
        kind: Kind of labels.
        class_names: May be longer than ``train_counts``, or empty.
        train_counts: Training samples per class; empty without classes.
    """
    if kind == "none":
        return ["there are no labels: the pruned network can only learn from the dense one"]
    notes = []
    missing = [number for number, count in enumerate(train_counts) if count == 0]
    if missing:
        names = [class_names[n] if n < len(class_names) else str(n) for n in missing[:_MAX_SHOWN]]
        more = f" and {len(missing) - _MAX_SHOWN} more" if len(missing) > _MAX_SHOWN else ""
        shown = ", ".join(repr(name) for name in names) + more
        is_one = len(missing) == 1
        notes.append(
            f"the class{'' if is_one else 'es'} {shown} {'has' if is_one else 'have'} no "
            "training sample"
        )
    if kind != "classes":
        return notes
    if len(train_counts) == 1:
        notes.append("all samples belong to one class: there is nothing to classify")
    ratio = imbalance(train_counts)
    if ratio is not None and ratio >= _UNEVEN:
        notes.append(
            f"the largest class has {ratio:.3g} times the training samples of the smallest: "
            "prefer macro-F1 over accuracy"
        )
    return notes


def pixel_notes(statistics: Statistics, *, is_scaled: bool) -> Iterator[str]:
    """Yield notes on the values of the samples.

    Args:
        statistics: Statistics of the training split.
        is_scaled: True if the samples are bytes or a scale is given, so they are not fed raw.
    """
    if statistics.std is None or statistics.low is None or statistics.high is None:
        return
    flat = [number for number, value in enumerate(statistics.std) if value == 0]
    if flat and len(flat) == len(statistics.std):
        yield (
            f"every value of all training samples is {statistics.low:g}: there is nothing to learn "
            "from"
        )
    elif flat:
        shown = ", ".join(map(str, flat[:_MAX_SHOWN]))
        are = "channel {} has" if len(flat) == 1 else "the channels {} have"
        yield f"{are.format(shown)} a single value in all training samples: std is 0"
    elif statistics.num_constant:
        is_one = statistics.num_constant == 1
        yield (
            f"{statistics.num_constant} of {statistics.num_samples} training samples "
            f"{'holds' if is_one else 'hold'} a single value, as blank images do"
        )
    low, high = statistics.low, statistics.high
    if not is_scaled and low >= 0 and _UNSCALED < high <= _BYTE:
        yield (
            f"the samples are floats from {low:g} to {high:g} and are fed to the network unscaled: "
            'if it takes pixels from 0 to 1, set {"scale": 0.00392157} in the preprocessing'
        )


def split_notes(kind: LabelKind, sizes: Mapping[Split, int]) -> list[str]:
    """Return notes on the sizes of the splits."""
    size = sizes[Split.VALIDATION]
    if size == 0:
        return ["there are no validation samples: a job draws some from the training samples"]
    if size < _FEW_SAMPLES:
        are = "is only 1 validation sample" if size == 1 else f"are only {size} validation samples"
        if kind != "classes":
            return [f"there {are}: what is measured on so few is uncertain"]
        return [f"there {are}: each counts for {100 / size:.3g} percentage points of accuracy"]
    return []


def few_notes(sizes: Mapping[Split, int]) -> frozenset[str]:
    """Return what `split_notes` says of few validation samples, for every kind of labels.

    A job that knows the interval of its metric on them need not repeat it.
    """
    if not 0 < sizes[Split.VALIDATION] < _FEW_SAMPLES:
        return frozenset()
    return frozenset((*split_notes("classes", sizes), *split_notes("none", sizes)))

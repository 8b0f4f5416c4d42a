"""What the user should know about labels and splits before trusting a number, in sentences."""

from collections.abc import Iterator, Mapping, Sequence

from secateur.engine.objectives import LabelKind
from worker.pipeline.data.splits import Split
from worker.pipeline.data.statistics import Statistics

_UNEVEN = 3.0  # times the samples of the smallest class
_FEW_SAMPLES = 100
_MAX_SHOWN = 5
_UNSCALED, _BYTE = 64.0, 255.0  # floats between them look like pixels that nobody divided by 255


def imbalance(counts: Sequence[int]) -> float | None:
    """Return the samples of the largest class over those of the smallest that has any."""
    present = [count for count in counts if count > 0]
    return round(max(present) / min(present), 3) if present else None


def label_notes(
    kind: LabelKind, class_names: Sequence[str], train_counts: Sequence[int]
) -> list[str]:
    """Return what is odd about the labels.

    Args:
        kind: What they are.
        class_names: May be longer than ``train_counts``, or empty.
        train_counts: Training samples of each class; empty without classes.
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
        notes.append("all samples are of one class: there is nothing to tell apart")
    ratio = imbalance(train_counts)
    if ratio is not None and ratio >= _UNEVEN:
        notes.append(
            f"the largest class has {ratio:.3g} times the training samples of the smallest: "
            "macro-F1 tells more than accuracy"
        )
    return notes


def pixel_notes(statistics: Statistics, *, is_scaled: bool) -> Iterator[str]:
    """Yield what is odd about the values of the samples.

    Args:
        statistics: Of the training split.
        is_scaled: Whether they are bytes, or a scale is given: they do not go in as they are.
    """
    if statistics.std is None or statistics.low is None or statistics.high is None:
        return
    flat = [number for number, value in enumerate(statistics.std) if value == 0]
    if flat and len(flat) == len(statistics.std):
        yield (
            f"all training samples hold the value {statistics.low:g} alone: there is nothing to "
            "tell them apart by"
        )
    elif flat:
        shown = ", ".join(map(str, flat[:_MAX_SHOWN]))
        are = "channel {} has" if len(flat) == 1 else "the channels {} have"
        yield f"{are.format(shown)} one value in all training samples: its std is 0"
    elif statistics.num_constant:
        is_one = statistics.num_constant == 1
        yield (
            f"{statistics.num_constant} of {statistics.num_samples} training samples "
            f"{'holds' if is_one else 'hold'} one value throughout, as empty pictures do"
        )
    low, high = statistics.low, statistics.high
    if not is_scaled and low >= 0 and _UNSCALED < high <= _BYTE:
        yield (
            f"the samples are floats from {low:g} to {high:g}, and go into the network as they "
            'are: if it takes pixels from 0 to 1, say {"scale": 0.00392157} in the preprocessing'
        )


def split_notes(sizes: Mapping[Split, int]) -> list[str]:
    """Return what is odd about the sizes of the splits."""
    size = sizes[Split.VALIDATION]
    if size == 0:
        return [
            "there are no validation samples: a job draws some of the training samples for them"
        ]
    if size < _FEW_SAMPLES:
        are = "is only 1 validation sample" if size == 1 else f"are only {size} validation samples"
        return [f"there {are}: one of them is {100 / size:.3g} points of accuracy"]
    return []

"""Evidence that a dense network and its data set do not match.

Pure functions of measurements; `check` measures, weighs the evidence, and stops the job or warns.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from app.contracts.report import ONE_CLASS
from secateur.engine.intervals import normal_interval, proportion_interval
from secateur.engine.metrics import METRICS
from secateur.engine.sanity import (
    Look,
    Order,
    distance,
    find_order,
    worst,
)

# Distances from which the input of a first BatchNorm layer counts as unlike (NEAR) or very unlike
# (FAR) training. Measured: 0.05 with the right preprocessing, 0.38 for emoji in a network trained
# on photographs, 0.45 for images 40 % darker (2 points of accuracy lost), 0.99 without mean and
# std, 40 for bytes instead of [0, 1] (decision 29).
NEAR, FAR = 0.4, 0.9
_FEW = 30  # with fewer samples no evidence is strong
_SKILL = 0.25  # fraction of the way from chance to 100 %; trained networks exceed it
_TIMES_CHANCE = 3.0
_GAP, _WIDE_GAP = 0.1, 0.2  # accuracy gained by recalibrating
_SURE = 3.0  # standard deviations
_MOVED, _WIDE_MOVED = 0.05, 0.2  # accuracy gained by reordering the labels
_MAX_NAMED = 5
# Values of masks', texts' and boxes' metrics up to which a network knows nothing of its labels.
_LEAST = {"miou": 0.05, "exact": 0.02, "map50_95": 0.02, "oks_ap": 0.02}
_MOST_WRONG = 0.8  # character error rate


@dataclass(frozen=True)
class Evidence:
    """One piece of evidence against the data set.

    Attributes:
        code: Stable code of the finding in the report.
        text: Measurement, with the value it is compared to.
        is_strong: True if the evidence suffices to stop a job.
        cause: Usual cause, and what to do; empty if other evidence covers it.
        is_notice: True if the evidence is for information only.
    """

    code: str
    text: str
    is_strong: bool = False
    cause: str = ""
    is_notice: bool = False


PREPROCESSING = (
    "The likely cause is preprocessing: the network was trained on pixels in another range, or on "
    "pixels normalised by a mean and a std. Upload the data set with the `preprocess` used in "
    "training: imagenet (for networks from torchvision and timm), from-data (mean and std of these "
    "samples), unit (0 to 1), symmetric (-1 to 1), or the network's own numbers, such as "
    '{"mean": [0.286], "std": [0.353]}'
)
UNSETTLED = (
    "The likely cause is that BatchNorm's running statistics have not settled: the network was "
    "trained for few steps, or with a small momentum. Its first BatchNorm layers get inputs as in "
    "training, so the preprocessing is not the cause. Train longer, or measure the statistics "
    "before you export: call model.train(), pass some hundred batches of training samples through "
    "the model under torch.no_grad(), and call model.eval()"
)
NOTHING_FOUND = (
    "A trained network should find more of what the labels say. Check the preprocessing (mean, "
    "std, range of the pixels, fit), the order of the classes or characters, and head in the config"
)
CHANCE = (
    "A trained network should do better than this on its own kind of samples. Check the "
    "preprocessing (mean, std, range of the pixels, order of the channels) and the class numbers"
)


def of_outputs(look: Look) -> Iterator[Evidence]:
    """Yield evidence of outputs that are not finite, or equal for all samples, or of one class."""
    if look.num_not_finite:
        yield Evidence(
            "outputs_not_finite",
            f"the dense network's outputs are NaN or infinite for {look.num_not_finite} of "
            f"{look.num_samples} samples",
            is_strong=True,
            cause=PREPROCESSING,
        )
    elif look.is_constant:
        yield Evidence(
            "outputs_constant",
            f"the dense network gives {look.num_samples} different samples the same outputs",
            is_strong=True,
            cause=PREPROCESSING,
        )
    elif look.only_class is not None:
        yield Evidence(
            ONE_CLASS,
            f"the dense network answers class {look.only_class} for all {look.num_samples} samples",
            cause="Agreement with it is worthless here: a network that never looks at its input "
            "agrees as well. Use samples of several classes, and check the preprocessing",
            is_notice=True,
        )


def of_statistics(look: Look) -> Iterator[Evidence]:
    """Yield evidence of inputs that do not match BatchNorm's running statistics."""
    untrained = [norm for norm in look.norms if norm.is_untrained]
    if untrained:
        yield Evidence(
            "statistics_untrained",
            f"the running statistics of {untrained[0].name} are those of a new layer (means 0, "
            "variances 1): the layer was not trained, or was saved without its statistics",
            is_notice=True,
        )
    found = worst(look.norms)
    if found is None or distance(found) < NEAR:
        return
    yield Evidence(
        "inputs_unlike_training",
        f"the input of the first BatchNorm layer ({found.name}) is not distributed as in training: "
        f"its mean is {_short(found.shift)} standard deviations away, and its standard deviation "
        f"is {_short(found.spread)} times that in training",
        is_strong=distance(found) >= FAR and look.num_samples >= _FEW,
        cause=PREPROCESSING,
    )


def of_chance(look: Look) -> Iterator[Evidence]:
    """Yield evidence of predictions no better than a constant answer."""
    if look.labels is not None and "top1" in look.values:
        yield from _of_classes(look.values["top1"], look.labels, look.answers)
    if look.errors is not None:
        yield from _of_numbers(*look.errors)
    yield from _of_nothing_found(look)


def of_order(look: Look, names: tuple[str, ...]) -> Iterator[Evidence]:
    """Yield evidence of predictions that become right under another numbering of the classes."""
    if look.answers is None or look.labels is None:
        return
    order = find_order(look.answers, look.labels)
    if order is None or not order.moved:
        return
    top1, count = look.values["top1"], look.num_samples
    gained = order.share - top1
    is_order = order.share >= 0.5  # noqa: PLR2004  # below this the network is simply wrong
    if (
        not is_order
        or gained < _MOVED
        or proportion_interval(order.share * count, count)[0]
        <= proportion_interval(top1 * count, count)[1]
    ):
        return
    yield Evidence(
        "labels_in_another_order",
        f"the labels are in another order than the network's classes: {_moves(order, names)}; in "
        f"the network's order, {order.share:.4f} of the answers are right instead of {top1:.4f}",
        is_strong=gained >= _WIDE_MOVED,
        cause="Number the labels like the network's outputs. Class folders are numbered in "
        "alphabetical order",
    )


def of_expected(look: Look, expected: Mapping[str, float]) -> Iterator[Evidence]:
    """Yield evidence of metrics significantly below the values that the user expects."""
    for name, value in expected.items():
        found = look.values[name]
        own = look.metrics.doubt().interval if name in _LEAST and look.metrics else None
        if own is not None:  # resampled: these are not shares of samples
            low, high = own
            is_below = high < value
        elif METRICS[name].is_less_better:
            assert look.errors is not None  # noqa: S101  # only regression has such metrics
            errors = look.errors[0]
            low, high = normal_interval(found, float(errors.std()), len(errors))
            is_below = low > value
        else:
            low, high = proportion_interval(found * look.num_samples, look.num_samples)
            is_below = high < value
        if is_below:
            yield Evidence(
                "below_expected",
                f"{name} of the dense network is {found:.4f} on {look.num_samples} samples (95 % "
                f"interval {low:.4f} to {high:.4f}), but {value:g} was expected",
                is_strong=True,
                cause=PREPROCESSING,
            )


def of_recalibrated(look: Look, recalibrated: Look) -> Iterator[Evidence]:
    """Yield evidence of predictions that improve much when BatchNorm is recalibrated."""
    if look.answers is None or recalibrated.answers is None or look.labels is None:
        return
    before, after = look.answers == look.labels, recalibrated.answers == look.labels
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    gap = (gained - lost) / look.num_samples
    if gap < _GAP or gained - lost < _SURE * (gained + lost) ** 0.5:
        return
    # Preprocessing shifts the inputs of the first layers; statistics that lag behind the weights
    # are wrong in later layers.
    first = worst(look.norms)
    is_shifted = first is None or distance(first) >= NEAR
    yield Evidence(
        "far_below_recalibrated",
        f"top1 of the dense network is {look.values['top1']:.4f} on {look.num_samples} samples, "
        f"but {recalibrated.values['top1']:.4f} with BatchNorm statistics measured on them",
        is_strong=gap >= _WIDE_GAP and look.num_samples >= _FEW,
        cause=PREPROCESSING if is_shifted else UNSETTLED,
    )


def _of_nothing_found(look: Look) -> Iterator[Evidence]:
    """Yield evidence of masks, texts, boxes or keypoints far from the labels."""
    if look.metrics is None or look.metrics.primary not in _LEAST:
        return
    name = look.metrics.primary
    found, least = look.values[name], _LEAST[name]
    if name == "exact" and look.values["cer"] < _MOST_WRONG:  # lines may be long
        return
    if name == "miou":  # always the most frequent class: 1 for it at most, and 0 for the others
        least += 1 / max(2, len(look.metrics.by_class()))
    if found > least:
        return
    more = f", cer {look.values['cer']:.4f}" if name == "exact" else ""
    yield Evidence(
        "near_chance",
        f"{name} of the dense network is {found:.4f}{more} on {look.num_samples} samples",
        is_strong=look.num_samples >= _FEW,
        cause=NOTHING_FOUND,
    )


def _of_classes(top1: float, labels: Tensor, answers: Tensor | None) -> Iterator[Evidence]:
    count = len(labels)
    counts = torch.bincount(labels)
    chance = float(counts.max()) / count
    if chance == 1 or answers is None:  # only one class
        return
    present = counts > 0
    right = torch.bincount(labels[answers == labels], minlength=len(counts))
    balanced = float((right[present] / counts[present]).mean())
    even = 1 / int(present.sum())
    low, high = proportion_interval(top1 * count, count)
    limit = chance + _SKILL * (1 - chance)
    is_balanced_poor = balanced < even + _SKILL * (1 - even)
    is_at_chance = low <= chance and is_balanced_poor
    is_poor = high < limit and is_balanced_poor and top1 < _TIMES_CHANCE * chance
    if not is_at_chance and not is_poor:
        return
    yield Evidence(
        "near_chance",
        f"top1 of the dense network is {top1:.4f} on {count} samples (95 % interval {low:.4f} to "
        f"{high:.4f}); always predicting the largest class would give {chance:.4f}",
        is_strong=is_at_chance and high < limit and count >= _FEW,
        cause=CHANCE,
    )


def _of_numbers(errors: Tensor, constant: Tensor) -> Iterator[Evidence]:
    found, base = float(errors.mean()), float(constant.mean())
    worse = errors - constant
    count = len(errors)
    low, _ = normal_interval(float(worse.mean()), float(worse.std()) if count > 1 else 0.0, count)
    if found < 0.9 * base or base == 0:  # 10 % better than a constant counts as better
        return
    yield Evidence(
        "near_chance",
        f"mean_error of the dense network is {found:.4g} on {count} samples; the best constant "
        f"prediction would have {base:.4g}",
        is_strong=low > 0 and count >= _FEW,
        cause="Check the preprocessing, and the unit and scale of the numbers",
    )


def _short(value: float) -> str:
    """Format a number with two digits, without an exponent if it is large."""
    return f"{value:.0f}" if 100 <= value < 1e6 else f"{value:.2g}"  # noqa: PLR2004  # digits


def _moves(order: Order, names: tuple[str, ...]) -> str:
    if order.shift is not None:
        return f"each answer is the label {order.shift:+d}"
    moved = order.moved
    pairs = [f"{_name(a, names)} is answered as {b}" for a, b in sorted(moved.items())]
    more = f" … ({len(moved)} classes)" if len(moved) > _MAX_NAMED else ""
    return ", ".join(pairs[:_MAX_NAMED]) + more


def _name(label: int, names: tuple[str, ...]) -> str:
    if label >= len(names):
        return f"label {label}"
    return f"{names[label]!r} ({label})"

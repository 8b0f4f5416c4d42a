"""Sentences for users: why there is an int8 file, or why there is none."""

from collections.abc import Sequence

from secateur.engine.measure import Speedup
from secateur.engine.quantize.judging import Quality
from secateur.engine.quantize.prepared import Prepared
from secateur.engine.quantize.recipes import WEIGHTED
from secateur.engine.quantize.result import Quantized, Trial

_MOST_NAMES = 5
_FEWEST_SAMPLES = 128


def nothing_to_quantize(prepared: Prepared) -> str:
    """Return why a network has nothing that could be integer."""
    others = _names(prepared.other_operators)
    return (
        f"No int8 file: the network has no {_either(WEIGHTED)} with stored float32 weights, which "
        f"is what ONNX Runtime computes in integers. Its operators are {others}."
    )


def none_runs(trials: Sequence[Trial]) -> str:
    """Return why no int8 file could be written or run."""
    trouble = next((trial.trouble for trial in trials if trial.trouble), "")
    return f"No int8 file: ONNX Runtime can write or run none of this network ({trouble})."


def too_slow(found: Quantized, num_layers: int, least: float) -> str:
    """Return why the fastest file is not kept."""
    assert found.latency is not None  # noqa: S101  # the caller has timed it
    speedups = found.latency.speedups[0]
    slow = next((each for each in speedups[1:] if each.high < 1), None)
    worst = slow if slow is not None and speedups[0].ratio >= least else speedups[0]
    text = (
        f"No int8 file: the best one runs at {_speed(worst)} of the fp32 file's speed at batch "
        f"size {worst.batch_size}, and at least {least:g}x is required."
    )
    return f"{text} {_cause(found, num_layers)}".strip()


def broken_promise(before: Quality, after: Quality, max_drop: float, num_files: int) -> str:
    """Return why no fast file is good enough."""
    return (
        f"No int8 file: none of {num_files} kept max_drop {max_drop:g}. The nearest has "
        f"{after.metric} {after.value:.4f} on {after.num_samples} samples, the fp32 file "
        f"{before.value:.4f}, even with its worst layers in float. Allow more in max_drop, or "
        "calibrate with more samples."
    )


def kept(found: Quantized, elsewhere: str | None = None) -> str:
    """Return what an int8 file gains and loses.

    ``elsewhere`` is the processor that the file is for, if that is not this machine's.
    """
    assert found.before is not None  # noqa: S101  # a kept file is judged, timed and chosen
    assert found.after is not None  # noqa: S101
    assert found.latency is not None  # noqa: S101
    speedup = found.latency.speedups[0][0]
    text = (
        f"The int8 file runs at {_speed(speedup)} of the fp32 file's speed at batch size "
        f"{speedup.batch_size}, with {found.after.metric} {found.after.value:.4f} on "
        f"{found.after.num_samples} samples (fp32: {found.before.value:.4f})."
    )
    if elsewhere is None:
        return text
    return f"{text} The file is for {elsewhere}, and its speed was measured here: measure it there."


def notes_on(num_samples: int) -> tuple[str, ...]:
    """Return notes on the samples."""
    if num_samples >= _FEWEST_SAMPLES:
        return ()
    plural = "sample" if num_samples == 1 else "samples"
    text = (
        f"The ranges of activations come from {num_samples} {plural}: values beyond them are "
        f"clipped. {_FEWEST_SAMPLES} or more are better."
    )
    return (text,)


def _cause(found: Quantized, num_layers: int) -> str:
    """Return why integers are slow here, by what ONNX Runtime has made of the file."""
    fusion = found.chosen.fusion if found.chosen is not None else None
    if fusion is None:
        return ""
    text = f"Of {num_layers} layers, ONNX Runtime computes {fusion.num_integer} in integers"
    if not fusion.num_conversions:
        return f"{text}; they are too small to gain from it."
    beside = f" around {_names(fusion.between)}" if fusion.between else ""
    return (
        f"{text}, and {fusion.num_conversions} conversions between integers and float are "
        f"left{beside}."
    )


def _speed(speedup: Speedup) -> str:
    return f"{speedup.ratio:.2f}x ({speedup.low:.2f} to {speedup.high:.2f})"


def _names(names: Sequence[str]) -> str:
    shown = list(names[:_MOST_NAMES])
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "") if shown else "none"


def _either(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" or {names[-1]}"

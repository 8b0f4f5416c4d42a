"""Notes that warn about uncertain numbers, for `worker.pipeline.report.report`."""

from collections.abc import Sequence

from app.contracts.report import (
    AccuracyTrial,
    BaselineReport,
    MetricsReport,
    SpeedupReport,
    TargetReport,
)
from app.contracts.spec import AccuracySelection, BudgetSelection
from secateur.engine.intervals import difference_interval
from secateur.engine.measure import Speedup
from secateur.engine.metrics import METRICS
from worker.pipeline.data import Dataset
from worker.pipeline.data.notes import few_notes
from worker.pipeline.job.results import Int8, Times

_VALIDATION = "the validation split"
_FEW_SAMPLES = 200  # the 95 % interval of 90 % on 200 samples is 85 to 93 %


def unfolding_notes(num_unfolded: int) -> tuple[str, ...]:
    """Return a note if convolutions had a BatchNorm during training only."""
    note = (
        f"{num_unfolded} convolutions had a BatchNorm while the network was trained, because "
        "exporters to ONNX fold it into them; it has been folded again"
    )
    return (note,) if num_unfolded else ()


def latency_notes(times: Times) -> tuple[str, ...]:
    """Return notes if the network is not measurably faster, or if the machine was busy."""
    notes = []
    slow = [found for found in times.speedups if found.low <= 1]
    if slow:
        shown = ", ".join(f"latency at batch {found.batch_size}: {found.text}" for found in slow)
        notes.append(
            "pruning did not make it faster on this device; try round_to 16 or a smaller budget "
            f"({shown})"
        )
    if times.load.is_busy:
        notes.append(
            f"latency was measured under load: {times.load.reason}; measure it on a quiet machine "
            "before you rely on it"
        )
    return tuple(notes)


def latency_budget_notes(selection: object, times: Times | None) -> tuple[str, ...]:
    """Return a note if the interval of the measured latency exceeds the latency budget."""
    if not isinstance(selection, BudgetSelection) or selection.latency is None or times is None:
        return ()
    # Another device's latency, or that of the int8 file.
    if selection.target is not None or selection.precision == "int8":
        return ()
    return tuple(
        f"the latency budget of {selection.latency:g} is met within the doubt only: measured "
        f"{1 / found.ratio:.3f} ({1 / found.high:.3f} to {1 / found.low:.3f}) of the dense latency "
        f"at batch {found.batch_size}"
        for found in times.speedups
        if found.batch_size == selection.batch_size and 1 / found.low > selection.latency
    )


def int8_budget_notes(selection: object, times: Times | None, int8: Int8 | None) -> tuple[str, ...]:
    """Return a note on how the result meets a latency budget that was searched in int8."""
    if not isinstance(selection, BudgetSelection) or selection.latency is None or times is None:
        return ()
    if selection.precision != "int8" or selection.target is not None:
        return ()
    size, budget = selection.batch_size, f"the latency budget of {selection.latency:g}"
    fp32 = _share(times.speedups, size)
    if fp32 is None:
        return ()
    if int8 is None or not int8.found.is_kept or int8.found.latency is None:
        reason = "" if int8 is None else f" ({int8.found.reason.rstrip('.')})"
        note = (
            f"{budget} was searched in int8, and there is no int8 file{reason}: the fp32 file "
            f"takes {fp32:.3f} of the dense latency at batch {size}"
        )
        return (note,)
    gain = _share(int8.found.latency.speedups[0], size)
    if gain is None:
        return ()
    met = "met" if gain * fp32 <= selection.latency else "missed"
    note = (
        f"{budget} is {met} in int8: the int8 file takes {gain * fp32:.3f} of the dense fp32 "
        f"latency at batch {size}, and the fp32 file {fp32:.3f}"
    )
    return (note,)


def _share(speedups: Sequence[Speedup | SpeedupReport], batch_size: int) -> float | None:
    return next((1 / each.ratio for each in speedups if each.batch_size == batch_size), None)


def target_notes(target: TargetReport | None) -> tuple[str, ...]:
    """Return a note that says by whose latencies widths were chosen, and how to check that."""
    if target is None:
        return ()
    threads = f"{target.num_threads} thread{'s' if target.num_threads > 1 else ''}"
    dense = "" if target.is_dense_measured else " of the layers alone"
    options = f"--runtime {target.runtime} --threads {target.num_threads}"
    if target.batch_size > 1:
        options += f" --batch-size {target.batch_size}"
    file = "model.onnx" if target.precision == "fp32" else "INT8.onnx"
    note = (
        f"widths were chosen by the latencies {target.name!r} ({target.id}), which "
        f"{target.device} measured with {target.runtime} {target.runtime_version} and {threads}. "
        f"They predict {target.predicted:.3f} of the dense latency{dense} in {target.precision}; "
        "the pruned network was not measured there. To confirm it on the device: python "
        f"secateur_bench.py --confirm {file} base.onnx {options}"
    )
    return (note,)


def sample_notes(metric: str | None, measured: Sequence[MetricsReport]) -> tuple[str, ...]:
    """Return a note for each split whose few samples leave the metric uncertain."""
    return tuple(
        f"the {found.split} split has only {found.num_samples} samples: "
        f"{_known(metric, *found.interval)}"
        for found in measured
        if found.num_samples < _FEW_SAMPLES and found.interval is not None
    )


def _known(metric: str | None, low: float, high: float) -> str:
    """Return how well a metric is known; resampling equal samples gives no width."""
    if f"{low:.4g}" == f"{high:.4g}":
        return f"they agree on {metric}, and are too few to know it for others"
    return f"{metric} is known to lie between {low:.4g} and {high:.4g}, no closer"


def without_repeats(
    warnings: Sequence[str], sampled: Sequence[str], dataset: Dataset | None
) -> tuple[str, ...]:
    """Return warnings without that of few validation samples if `sample_notes` tells more."""
    if dataset is None or not any(note.startswith(_VALIDATION) for note in sampled):
        return tuple(warnings)
    known = few_notes(dataset.split_sizes)
    return tuple(each for each in warnings if each not in known)


def promise_notes(selection: object, trials: Sequence[AccuracyTrial]) -> tuple[str, ...]:
    """Return notes if ``max_drop`` was kept without training, and if it may not be kept at all."""
    kept = [trial for trial in trials if trial.is_kept]
    if not isinstance(selection, AccuracySelection) or not kept:
        return ()
    chosen = min(kept, key=lambda trial: (trial.asked, not trial.is_trained))
    notes = []
    if not chosen.is_trained and chosen.drop is not None:
        notes.append(
            f"max_drop {selection.max_drop:g} is kept without training: the drop on the validation "
            f"samples is {chosen.drop:.4f}. A job that trains (retrain.epochs) can keep it with a "
            "smaller network"
        )
    if chosen.drop is None or chosen.drop_interval is None:
        return tuple(notes)
    low, high = chosen.drop_interval
    if high > selection.max_drop:
        notes.append(
            f"max_drop {selection.max_drop:g} is kept on these validation samples (drop "
            f"{chosen.drop:.4f}), but they are too few to be sure: the drop lies between "
            f"{low:.4f} and {high:.4f}"
        )
    return tuple(notes)


def baseline_notes(
    metric: str | None, ours: tuple[MetricsReport, ...], baselines: tuple[BaselineReport, ...]
) -> tuple[str, ...]:
    """Return a note for each baseline that is as good as the criterion, or not measurably worse."""
    notes = []
    for baseline in baselines:
        for mine, found in zip(ours, baseline.metrics, strict=False):
            value, other = (m.value(metric) if metric else None for m in (mine, found))
            if metric is None or value is None or other is None:
                continue
            sign = -1 if METRICS[metric].is_less_better else 1
            is_as_good, is_close = sign * other >= sign * value, False
            if mine.interval is not None and found.interval is not None:
                low, high = difference_interval(value, mine.interval, other, found.interval)
                is_close = low <= 0 <= high
            if is_as_good or is_close:
                doubt = ": no measurable difference" if is_close else ""
                notes.append(
                    f"the baseline {baseline.kind!r} did as well: {metric} {other:.4f} against "
                    f"{value:.4f} on the {found.split} split{doubt}"
                )
    return tuple(notes)

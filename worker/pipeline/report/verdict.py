"""Says whether to ship the pruned network, and what to try next.

The rules, in order:

1. A serious finding: not ready.
2. No measured quality, or agreement with a network that always answers one class: uncertain.
3. The network lost more than is allowed: not ready; uncertain if the loss could be chance.
4. The loss is known only to within more than `_WIDEST` times what is allowed: uncertain.
5. The network is not measurably faster: uncertain.
6. Otherwise ready.

One point of a share may be lost, or ``max_drop`` if the job promised it.
"""

from dataclasses import dataclass

from app.contracts.report import ONE_CLASS, NextStep, Report, Verdict
from secateur.engine.metrics import METRICS
from worker.pipeline.report.page import formats, names
from worker.pipeline.report.page.words import final_metrics, metric_value

_ALLOWED_SHARE = 0.01
# Agreement and output error compare with the dense network, so they say less than a lost label.
_ALLOWED = {"agreement": 0.05, "output_error": 0.1}
_ALLOWED_RELATIVE = 0.05  # other metrics: a share of the dense network's value
_WIDEST = 4
_LATE = 0.75  # a best epoch in the last quarter of the training: more epochs may help
_MUCH_LEFT = 0.95


@dataclass(frozen=True)
class _Loss:
    """What the network lost, in the metric's unit; positive is worse."""

    metric: str
    value: float
    lost: float
    sign: int
    half: float | None
    allowed: float
    num_samples: int

    @property
    def text(self) -> str:
        """The metric, its value and its change from the dense network's."""
        is_share = self.metric in names.SHARES
        change = 0.0 - self.sign * self.lost
        if is_share:
            half = "" if self.half is None else f" ± {100 * self.half:.2f}"
            moved = formats.signed(f"{100 * change:+.2f}{half} points")
        else:
            half = "" if self.half is None else f" ± {self.half:.2g}"
            moved = formats.signed(f"{change:+.3g}{half}")
        return f"{names.METRICS[self.metric]} {metric_value(self.metric, self.value)} ({moved})"


def judge(report: Report) -> Verdict:
    """Return the verdict on a report's retrained network."""
    verdict, step = _by_rules(report), _int8_widths(report)
    if step is None:
        return verdict
    return verdict.model_copy(update={"next_steps": (*verdict.next_steps, step)})


def _by_rules(report: Report) -> Verdict:
    loss, speed = _loss(report), _speed(report)
    serious = [finding.message for finding in report.findings if finding.severity == "serious"]
    if serious:
        text = f"Not ready: {serious[0].rstrip('.')}."
        return Verdict(status="not_ready", text=text, next_steps=_after_loss(report))
    unmeasured = _unmeasured(report, loss)
    if loss is None or unmeasured is not None:
        return Verdict(status="uncertain", text=f"{unmeasured}. Result: {speed}.")
    if loss.lost > loss.allowed:
        is_chance = loss.half is not None and loss.lost - loss.half <= loss.allowed
        return Verdict(
            status="uncertain" if is_chance else "not_ready",
            text=f"{'Uncertain' if is_chance else 'Not ready'}: {loss.text}, {speed}."
            + (_few(loss) if is_chance else ""),
            next_steps=_after_loss(report),
        )
    if loss.half is not None and loss.half > _WIDEST * loss.allowed:
        return Verdict(status="uncertain", text=f"Uncertain: {loss.text}, {speed}.{_few(loss)}")
    if report.speedups and not _is_faster(report):
        text = f"Smaller, but not faster here: {speed}, {loss.text}."
        return Verdict(status="uncertain", text=text, next_steps=_after_slow())
    text = f"Ready to ship: {speed}, {loss.text}."
    return Verdict(status="ready", text=text, next_steps=_after_success(report))


def _unmeasured(report: Report, loss: _Loss | None) -> str | None:
    """Return why the quality is not known; None if it is."""
    if loss is None:
        return "Not tested: the job had no samples to measure quality with"
    only = [finding.message for finding in report.findings if finding.code == ONE_CLASS]
    if only and loss.metric == "agreement":
        return f"Uncertain: {only[0][0].lower()}{only[0][1:].rstrip('.')}"
    return None


def _loss(report: Report) -> _Loss | None:
    before, after = final_metrics(report.dense), final_metrics(report.retrained)
    name = report.metric
    if name is None or before is None or after is None:
        return None
    dense, value = before.value(name), after.value(name)
    if dense is None or value is None:
        return None
    sign = -1 if METRICS[name].is_less_better else 1
    half = None if after.change is None else (after.change.high - after.change.low) / 2
    lost = sign * (dense - value)
    return _Loss(name, value, lost, sign, half, _allowed(report, name, dense), after.num_samples)


def _allowed(report: Report, name: str, dense: float) -> float:
    promised = report.config["selection"].get("max_drop")
    if promised is not None:
        return float(promised)
    if name in _ALLOWED:
        return _ALLOWED[name]
    return _ALLOWED_SHARE if METRICS[name].is_share else _ALLOWED_RELATIVE * abs(dense)


def _few(loss: _Loss) -> str:
    return f" {loss.num_samples:,} samples are too few to be sure: measure it on more."


def _speed(report: Report) -> str:
    macs = f"{formats.percent(_macs_left(report), 0)} of the MACs"
    if not report.speedups:
        return macs
    first = report.speedups[0]
    if not first.is_measurable:
        return f"no measurable difference in speed, {macs}"
    word = "faster" if first.low > 1 else "as fast"
    return f"{formats.significant(first.ratio, 2)}x {word} at batch {first.batch_size}, {macs}"


def _is_faster(report: Report) -> bool:
    return any(found.is_measurable and found.low > 1 for found in report.speedups)


def _macs_left(report: Report) -> float:
    return report.retrained.macs / max(1, report.dense.macs)


def _after_loss(report: Report) -> tuple[NextStep, ...]:
    found: list[NextStep | None] = []
    if report.config["criterion"]["kind"] != "auto" and report.data is not None:
        found.append(
            NextStep(
                title="Compare the criteria",
                reason="the job tries the cheap ones, and the best for this network may keep more "
                "at the same cost",
                config={"/criterion/kind": "auto"},
            )
        )
    found += [_train_longer(report), _keep_more(report)]
    return tuple(step for step in found if step is not None)


def _train_longer(report: Report) -> NextStep | None:
    """Train twice as long if the best epoch came late, or if nothing was trained."""
    if report.data is None:
        return None
    num = len(report.history)
    if num == 0:
        return NextStep(
            title="Retrain it",
            reason="the network was not trained after pruning",
            config={"/retrain/epochs": "auto"},
        )
    kept = report.kept
    if kept is not None and (kept.epoch is None or kept.epoch < _LATE * num):
        return None
    return NextStep(
        title=f"Train {2 * num} epochs",
        reason=f"the best epoch was one of the last of {num}",
        config={"/retrain/epochs": 2 * num},
    )


def _keep_more(report: Report) -> NextStep | None:
    share = round((1 + _macs_left(report)) / 2, 2)
    if share > _MUCH_LEFT:
        return None
    return NextStep(
        title=f"Keep {formats.percent(share, 0)} of the MACs",
        reason="the network keeps more of its quality if less is removed",
        config={"/selection": {"mode": "budget", "macs": share}},
    )


def _after_slow() -> tuple[NextStep, ...]:
    step = NextStep(
        title="Prune for measured latency",
        reason="fewer MACs do not save time in every layer; this removes what costs time here",
        config={"/selection": {"mode": "budget", "latency": 0.6, "round_to": "auto"}},
    )
    return (step,)


def _int8_widths(report: Report) -> NextStep | None:
    """Propose widths that suit int8, if its file is too slow by its layers, not by conversions."""
    int8, selection = report.int8, report.config["selection"]
    if int8 is None or int8.is_kept or not int8.speedups:
        return None
    if int8.num_integer is None or int8.num_conversions is None:
        return None
    if int8.num_conversions >= int8.num_integer:
        return None
    can_measure = (
        selection["mode"] != "accuracy"
        and selection["round_to"] != "auto"
        and selection["target"] is None
        and report.config["schedule"]["kind"] == "one_shot"
    )
    if not can_measure:
        return None
    return NextStep(
        title="Choose widths for int8",
        reason="int8 kernels compute in larger blocks, and with other widths the file may be fast "
        "enough to be kept",
        config={"/selection/round_to": "auto", "/selection/precision": "int8"},
    )


def _after_success(report: Report) -> tuple[NextStep, ...]:
    share = round(0.7 * _macs_left(report), 2)
    step = NextStep(
        title=f"Keep only {formats.percent(share, 0)} of the MACs",
        reason="the quality held, so more may go",
        config={"/selection": {"mode": "budget", "macs": share}},
    )
    return (step,) if share > 0 else ()

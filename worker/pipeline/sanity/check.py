"""Check the dense network on its data set before anything is pruned.

The most common mistake is a data set without the preprocessing used in training. The job would then
prune, retrain and certify a network that was wrong from the start.
"""

import torch

from app.contracts.report import Finding
from app.contracts.spec import NO_PREPROCESS, NO_PREPROCESS_BUT_RIGHT
from secateur.engine.errors import DataError, DataMismatchError
from secateur.engine.retrain.batch_norm import statistics
from secateur.engine.samples import spread
from secateur.engine.sanity import Look, look
from worker.pipeline.data import Split
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.sanity.evidence import (
    CHANCE,
    Evidence,
    of_chance,
    of_expected,
    of_order,
    of_outputs,
    of_recalibrated,
    of_statistics,
)

_ADVICE = (
    "If the network is expected to do this poorly on these data, set "
    '{"sanity": {"action": "warn"}} in the config.'
)


def check_sanity(inputs: Inputs, *, may_stop: bool = True) -> None:
    """Run the dense network on its data set and report evidence of a mismatch.

    Args:
        inputs: Inputs of the job.
        may_stop: False for a plan, which only warns; otherwise strong evidence stops the job if
            the config says so.

    Raises:
        DataMismatchError: The evidence is strong, and the config lets it stop the job.
        DataError: An expected metric cannot be measured with these labels.
    """
    config = inputs.request.config
    if inputs.dataset is None:
        return
    if config.sanity.action == "off":
        _tell_preprocess(inputs, None)
        return
    dense, found = _evidence(inputs)
    _tell_preprocess(inputs, None if found else dense)
    strong = [each for each in found if each.is_strong]
    if strong and may_stop and config.sanity.action == "stop":
        serious = [each for each in found if not each.is_notice]
        raise DataMismatchError(_message(serious, dense), hint=_hint(serious))
    for each in found:
        severity = "notice" if each.is_notice else "serious"
        text = each.text[0].upper() + each.text[1:] + "."
        message = f"{text} {each.cause}." if each.cause else text
        inputs.reporter.find(Finding(code=each.code, severity=severity, message=message))


def _tell_preprocess(inputs: Inputs, right: Look | None) -> None:
    """Warn about samples without preprocessing.

    Args:
        inputs: Inputs of the job.
        right: Measurements of the dense network if there is no evidence of a mismatch.
    """
    assert inputs.dataset is not None  # noqa: S101  # checked by the caller
    if NO_PREPROCESS not in inputs.dataset.notes:
        return
    value = None if right is None else right.values.get(inputs.primary_metric or "")
    if right is None or value is None:  # without labels there is no score
        inputs.reporter.warn(NO_PREPROCESS)
    else:
        score = f"{inputs.primary_metric} {value:.4g} on {right.num_samples} samples"
        inputs.reporter.warn(f"{NO_PREPROCESS_BUT_RIGHT} ({score})", replaces=NO_PREPROCESS)


def _evidence(inputs: Inputs) -> tuple[Look, list[Evidence]]:
    config, dataset = inputs.request.config, inputs.dataset
    assert dataset is not None  # noqa: S101  # checked by the caller
    chosen = _samples(inputs)
    inputs.reporter.progress(0, 2, "checking the dense network", is_forced=True)
    reading = inputs.chosen.reading
    there = inputs.on_device(inputs.program)
    dense = look(there, inputs.source, chosen, dataset.labels_kind, reading)
    expected = config.expected.values
    for name in expected:
        if name not in dense.values:
            known = ", ".join(sorted(dense.values)) or "none, without labels"
            raise DataError(
                f"expected.{name} cannot be measured on this data set; its metrics are: {known}"
            )
    found = [*of_outputs(dense), *of_expected(dense, expected)]
    order = list(of_order(dense, tuple(dataset.class_names)))
    chance = list(of_chance(dense))
    found += order or chance
    of_norms = list(of_statistics(dense))
    gap: list[Evidence] = []
    is_untrained = any(norm.is_untrained for norm in dense.norms)
    if dense.answers is not None and not is_untrained and statistics(inputs.program):
        inputs.reporter.progress(1, 2, "recalibrating the dense network", is_forced=True)
        there = inputs.on_device(inputs.recalibrated(inputs.program))
        again = look(there, inputs.source, chosen, dataset.labels_kind, reading)
        gap = list(of_recalibrated(dense, again))
    found += gap
    return dense, found + [_weighed(each, dense, is_doubted=bool(found)) for each in of_norms]


def _weighed(evidence: Evidence, dense: Look, *, is_doubted: bool) -> Evidence:
    """Reduce BatchNorm evidence to a notice if labels show that the network works.

    Labels are the better evidence: a network that classifies darker samples correctly is fine, and
    the shift in its inputs is only worth a notice.
    """
    if evidence.is_notice or is_doubted or dense.metrics is None:
        return evidence
    return Evidence(evidence.code, evidence.text, is_notice=True)


def _samples(inputs: Inputs) -> torch.Tensor:
    """Return the samples to check: validation samples first, then training samples."""
    assert inputs.dataset is not None  # noqa: S101  # checked by the caller
    most = inputs.request.config.sanity.num_samples
    validation, train = (inputs.dataset.indices(s) for s in (Split.VALIDATION, Split.TRAIN))
    chosen = spread(validation, most)
    return torch.cat([chosen, spread(train, most - len(chosen))])


def _message(found: list[Evidence], dense: Look) -> str:
    text = "; ".join(each.text for each in found)
    return ". ".join([text[0].upper() + text[1:], _fed(dense), "Nothing was pruned."])


def _hint(found: list[Evidence]) -> str:
    """Return the distinct causes of the evidence, and how to pass the check anyway."""
    causes = dict.fromkeys(each.cause for each in found if each.cause)
    if len(causes) > 1:
        causes.pop(CHANCE, None)  # the other causes are more specific
    return ". ".join([*causes, _ADVICE])


def _fed(dense: Look) -> str:
    least, most, mean, deviation = dense.fed
    return (
        f"The network's inputs range from {least:.4g} to {most:.4g}, with mean {mean:.4g} and "
        f"standard deviation {deviation:.4g}"
    )

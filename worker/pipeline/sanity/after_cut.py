"""Recognise a network that finds nothing any more: no boxes, only background, empty texts.

A plain cut does this to detectors while their outputs still look like numbers of the right size. No
labels are needed: the dense network's answers tell how much there is to find.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from app.contracts.report import Finding
from secateur.engine.metrics import fitting_batch
from secateur.engine.metrics.texts import greedy
from secateur.engine.objectives.outputs import Activation, float_outputs, threshold
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.program import Program
from secateur.engine.samples import spread
from worker.pipeline.data import Split
from worker.pipeline.job.inputs import Inputs

_NUM_SAMPLES = 64
_LEFT = 0.1  # of what the dense network finds
_WORDS = {
    "detection": "boxes",
    "segmentation": "pixels of other classes than the most frequent one",
    "text_recognition": "characters",
    "keypoints": "keypoints",
}


def check_cut(inputs: Inputs, program: Program, *, is_trained: bool) -> None:
    """Report a network that finds less than a tenth of what the dense network does.

    Args:
        inputs: Inputs of the job.
        program: The network from which training starts, or its result.
        is_trained: Whether it is the result.
    """
    task = inputs.chosen.task.name
    if inputs.dataset is None or task not in _WORDS:
        return
    if task == "detection" and inputs.chosen.detector is None:  # of no known form
        return
    chosen = inputs.dataset.indices(Split.VALIDATION)
    if len(chosen) == 0:
        chosen = inputs.dataset.indices(Split.TRAIN)
    chosen = spread(chosen, _NUM_SAMPLES)
    dense, found = _count(inputs, chosen, program)
    if dense == 0 or found >= _LEFT * dense:
        return
    text = (
        f"The {'result' if is_trained else 'pruned network'} finds {found} {_WORDS[task]} in "
        f"{len(chosen)} samples, the dense network {dense}."
    )
    inputs.reporter.find(_finding(inputs, text, is_trained=is_trained))


def _finding(inputs: Inputs, text: str, *, is_trained: bool) -> Finding:
    config = inputs.request.config
    if is_trained or config.retrain.epochs == 0:
        advice = "Prune less (selection), train longer (retrain.epochs), or both."
        return Finding(code="finds_nothing", severity="serious", message=f"{text} {advice}")
    repair = (
        "" if config.repair.kind != "none" else " Repair (repair) would give it a better start."
    )
    return Finding(
        code="finds_nothing_before_training",
        severity="notice",
        message=f"{text} Training starts from there.{repair}",
    )


def _count(inputs: Inputs, chosen: Tensor, program: Program) -> tuple[int, int]:
    """Return how much the dense network and ``program`` find in the samples ``chosen``."""
    assert inputs.dataset is not None  # noqa: S101  # checked by the caller
    modules = [ProgramModule(each, copy=False).eval() for each in (inputs.program, program)]
    totals = np.zeros(2, np.int64)
    usual: Tensor | None = None
    with torch.inference_mode():
        for part in chosen.split(fitting_batch(inputs.program)):
            x, _ = inputs.dataset.batch(part)
            outputs = [float_outputs(module.run((x,))) for module in modules]
            if inputs.chosen.task.name == "segmentation":
                answers = [_classes(inputs, each[0]) for each in outputs]
                usual = answers[0].flatten().mode().values if usual is None else usual
                totals += [int((each != usual).sum()) for each in answers]
            else:
                totals += [_found(inputs, each) for each in outputs]
    return int(totals[0]), int(totals[1])


def _classes(inputs: Inputs, output: Tensor) -> Tensor:
    if output.shape[1] > 1:
        return output.argmax(1)
    kind: Activation = "sigmoid" if inputs.chosen.stored.is_sigmoid else "none"
    found: Tensor = output[:, 0] > threshold(kind)
    return found.long()


def _found(inputs: Inputs, outputs: Sequence[Tensor]) -> int:
    detector, reading = inputs.chosen.detector, inputs.chosen.reading
    if detector is not None:
        return sum(len(each.scores) for each in detector([output.numpy() for output in outputs]))
    poses = inputs.chosen.poses
    if poses is not None:
        found = poses([output.numpy() for output in outputs])
        return sum(int((each.points[..., 2] >= poses.least_score).sum()) for each in found)
    is_first = reading.is_blank_first
    return sum(map(len, greedy(outputs[0], reading.class_axis, is_blank_first=is_first)))

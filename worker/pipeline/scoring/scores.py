"""Saliencies of one program under one criterion; the dense network's are cached between jobs."""

from torch import Tensor

from secateur.engine.program.program import Program
from secateur.engine.saliency import CRITERIA
from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.options import saliency_options
from worker.pipeline.scoring.cache import recall_scores, remember_scores, saliency_key


def score(inputs: Inputs, program: Program, criterion: str) -> dict[str, Tensor]:
    """Return the scores of a program over the dense network's graph, such as a masked twin."""
    config, scorer = inputs.request.config, CRITERIA[criterion]
    options = saliency_options(config)
    if scorer.needs == "weights":  # milliseconds anywhere
        return scorer(program, inputs.analysis, None, options)
    there = inputs.on_device(program)
    return inputs.batches.run(
        "saliency",
        config.criterion.num_samples,
        lambda size: scorer(there, inputs.analysis, inputs.calibration(size), options),
    )


def score_dense(inputs: Inputs, criterion: str) -> dict[str, Tensor]:
    """Return the dense network's scores, from the cache if present."""
    folder = inputs.request.cache_dir
    if folder is None:
        return score(inputs, inputs.program, criterion)
    key = saliency_key(inputs.request)
    found = recall_scores(folder, key)
    if found is None or found.keys() != {family.name for family in inputs.analysis.families}:
        found = score(inputs, inputs.program, criterion)
        remember_scores(folder, key, found)
    return found

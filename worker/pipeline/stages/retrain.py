"""Retrain: train the pruned network and, on request, the baselines."""

from worker.pipeline.job.inputs import Inputs
from worker.pipeline.job.results import Baseline, Choice, Trained
from worker.pipeline.training.baselines import train_baselines
from worker.pipeline.training.run import start_of, train


def retrain(inputs: Inputs, choice: Choice) -> tuple[Trained, tuple[Baseline, ...]]:
    """Return the trained network of a plan, and the trained baselines.

    Raises:
        DataError: The data set has no training samples, or does not fit the objective.
        DivergenceError: The loss is not finite, even at a tenth of the learning rate.
    """
    start = start_of(inputs, choice.plan, choice.cuts)
    if not inputs.request.config.baselines or inputs.objective is None:
        return train(inputs, start), ()
    with inputs.reporter.part(0, 3, "retraining"):
        trained = train(inputs, start)
    with inputs.reporter.part(1, 3, "baselines", num_parts=2):
        return trained, train_baselines(inputs, trained.plan)

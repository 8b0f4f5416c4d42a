"""Quality of a file: by a judge of the caller's, or by agreement with the fp32 file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from secateur.engine.metrics.reference import AGREEMENT, OUTPUT_ERROR, AgainstReference
from secateur.engine.objectives.outputs import float_outputs
from secateur.engine.quantize.calibration import Batches

Run = Callable[[Sequence[Tensor]], list[Tensor]]  # from a batch of inputs to the outputs

_SCORES_RANK = 2


@dataclass(frozen=True)
class Quality:
    """Quality of a file on some samples.

    Attributes:
        metric: Name of the metric.
        value: Its value.
        score: The value, negated if less is better.
        num_samples: Number of samples.
    """

    metric: str
    value: float
    score: float
    num_samples: int


Judge = Callable[[Run], Quality]


def agreement_judge(reference: Run, batches: Batches) -> Judge:
    """Return a judge by the outputs of another file, such as the fp32 one.

    Outputs of shape (N, classes) count as scores: the quality is the share of samples with the same
    best class. Without such outputs it is the distance of all outputs, as a share of their norm.

    Args:
        reference: Runs the other file.
        batches: The samples.
    """

    def judge(run: Run) -> Quality:
        tally: AgainstReference | None = None
        has_scores, num_samples = False, 0
        for batch in batches:
            wanted = float_outputs(reference(batch))
            if tally is None:
                scores = tuple(i for i, output in enumerate(wanted) if _has_classes(output))
                has_scores, tally = bool(scores), AgainstReference(scores)
            tally.add(float_outputs(run(batch)), None, wanted)
            num_samples += len(batch[0])
        values = tally.values(num_samples) if tally is not None else {}
        metric = AGREEMENT if has_scores else OUTPUT_ERROR
        value = values.get(metric.name, float("nan"))
        return Quality(metric.name, value, metric.score(value), num_samples)

    return judge


def _has_classes(output: Tensor) -> bool:
    return output.dim() == _SCORES_RANK and output.shape[1] > 1

"""Metrics of embeddings: recall at k among the other samples, by cosine.

Every sample asks for its k nearest ones. The answer is right if one of them has its identity.
Samples whose identity occurs once are asked for nothing, but may be found.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from secateur.engine.errors import DataError
from secateur.engine.metrics.doubt import Doubt, Hits
from secateur.engine.metrics.metric import Metric
from secateur.engine.metrics.reading import Reading
from secateur.engine.metrics.scoring import LossSum, Scoring
from secateur.engine.objectives.distill_cosine import DISTILL_COSINE, cosine_distance
from secateur.engine.objectives.outputs import Activation

_MANY = 5
_MOST_SAMPLES = 20_000  # the cost grows with their square
_PART = 1024


class _Identities(LossSum):
    def __init__(self, kind: Activation, reading: Reading) -> None:
        super().__init__()
        del kind, reading
        self._own: list[Tensor] = []
        self._before: list[Tensor] = []
        self._labels: list[Tensor] = []

    def add(self, outputs: list[Tensor], labels: Tensor | None, wanted: list[Tensor]) -> None:
        """Add a batch: float outputs, labels, and the reference's outputs if there is one."""
        if labels is None:
            raise DataError("recall needs identities, and the data set has none")
        self._own.append(outputs[0].flatten(1).float().cpu())
        self._labels.append(labels.cpu())
        if wanted:
            self._before.append(wanted[0].flatten(1).float().cpu())
            self.loss_sum = self.loss_sum + cosine_distance(outputs[0], wanted[0]).double().sum()

    def values(self, num_samples: int) -> dict[str, float]:
        """Return the metrics of all samples by name."""
        del num_samples
        found_NK = recalled(torch.cat(self._own), torch.cat(self._labels), _MANY)
        if len(found_NK) == 0:
            return {"recall1": 0.0, "recall5": 0.0}
        return {
            "recall1": float(found_NK[:, 0].double().mean()),
            "recall5": float(found_NK.any(1).double().mean()),
        }

    def doubt(self, num_samples: int) -> Doubt:
        """Return the confidence intervals of recall at 1."""
        del num_samples
        labels = torch.cat(self._labels)
        own_N = recalled(torch.cat(self._own), labels, 1)[:, 0]
        before_N = None
        if len(self._before) == len(self._own):
            before_N = recalled(torch.cat(self._before), labels, 1)[:, 0]
        hits = Hits()
        hits.add(own_N, before_N)
        return hits.doubt(len(own_N)) if len(own_N) else Doubt()


def recalled(vectors_ND: Tensor, labels_N: Tensor, most: int) -> Tensor:
    """Return whether each of the nearest samples has the same label, nearest first, (N', most).

    N' counts the samples whose label occurs again. Above 20,000 samples, only the first are used.
    """
    vectors_ND, labels_N = vectors_ND[:_MOST_SAMPLES], labels_N[:_MOST_SAMPLES]
    directions_ND = F.normalize(vectors_ND, dim=1)
    _, numbers_N, counts = labels_N.unique(return_inverse=True, return_counts=True)
    asked = (counts[numbers_N] > 1).nonzero().flatten()
    if len(asked) == 0:
        return torch.zeros(0, most, dtype=torch.bool)
    found = []
    for part in asked.split(_PART):
        likeness = directions_ND[part] @ directions_ND.T
        likeness[torch.arange(len(part)), part] = -torch.inf  # not itself
        nearest = likeness.topk(min(most, len(vectors_ND) - 1), dim=1).indices
        found.append(labels_N[nearest] == labels_N[part, None])
    return torch.cat(found)


RECALL1 = Metric("recall1", "recall at 1")
RECALL5 = Metric("recall5", "recall at 5")
IDENTITIES = Scoring(
    "identities",
    DISTILL_COSINE,
    "identities",
    "cosine distance to the dense network's vectors",
    (RECALL1, RECALL5),
    _Identities,
    needs_reference=True,
)

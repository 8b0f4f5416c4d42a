"""k-means for channel groups, without random numbers."""

from collections.abc import Sequence

import torch
from torch import Tensor

_MOST_ROUNDS = 100


def find_clusters(features_GD: Tensor, seeds: Sequence[int]) -> list[list[int]]:
    """Return one non-empty list of rows for each seed, by Lloyd's algorithm.

    Args:
        features_GD: One row for each point, in float64.
        seeds: Rows that are the first centres, at most as many as there are rows.
    """
    centres = features_GD[list(seeds)]
    nearest = torch.full((len(features_GD),), -1)
    for _ in range(_MOST_ROUNDS):
        distances_GK = torch.cdist(features_GD, centres)
        found = _without_empty(distances_GK)
        if torch.equal(found, nearest):
            break
        nearest = found
        members_KG = torch.nn.functional.one_hot(nearest, len(seeds)).T.double()
        centres = members_KG @ features_GD / members_KG.sum(1, keepdim=True)
    return [(nearest == k).nonzero().flatten().tolist() for k in range(len(seeds))]


def _without_empty(distances_GK: Tensor) -> Tensor:
    """Return the nearest centre of each point; a centre without points takes the farthest one."""
    nearest = distances_GK.argmin(1)
    for k in range(distances_GK.shape[1]):
        if bool((nearest == k).any()):
            continue
        sizes = torch.bincount(nearest, minlength=distances_GK.shape[1])
        own = distances_GK.gather(1, nearest[:, None])[:, 0]
        own[sizes[nearest] < 2] = -1  # noqa: PLR2004  # leaves no other centre without points
        nearest[own.argmax()] = k
    return nearest

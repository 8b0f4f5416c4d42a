"""Ranking of networks on the validation samples; every choice of a best network uses it.

The primary metric decides, then the loss. On a full tie the earlier network stays, so a later one
must rank strictly higher. A network with a loss that is not finite ranks below all others.
"""

import math

# (is finite, primary metric, minus the loss): higher is better.
Rank = tuple[float, float, float]
NO_RANK: Rank = (-1.0, 0.0, 0.0)


def rank(score: float, loss: float) -> Rank:
    """Return the rank of a network; higher is better.

    Args:
        score: The primary metric, negated if smaller is better.
        loss: Loss on the same samples.
    """
    if not (math.isfinite(loss) and math.isfinite(score)):
        return (0.0, 0.0, 0.0)
    return (1.0, score, -loss)

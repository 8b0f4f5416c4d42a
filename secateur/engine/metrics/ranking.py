"""Which of two networks is better on the validation samples: the one rule for whatever is kept.

The metric that counts decides, and where it is equal, the loss. Where both are, whoever came first
stays: the later one must be *more*. A network whose loss is not finite is behind every other.
"""

import math

# Finite or not, the metric that counts, the loss negated: more is better.
Rank = tuple[float, float, float]
NO_RANK: Rank = (-1.0, 0.0, 0.0)


def rank(score: float, loss: float) -> Rank:
    """Return what tells better networks from worse: the greater, the better.

    Args:
        score: The metric that counts, negated where less is better.
        loss: On the same samples.
    """
    if not (math.isfinite(loss) and math.isfinite(score)):
        return (0.0, 0.0, 0.0)
    return (1.0, score, -loss)

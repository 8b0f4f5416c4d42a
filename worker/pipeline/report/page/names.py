"""What the report's short names mean, in words: the engine's records have most of them."""

from secateur.engine import metrics, objectives
from secateur.engine.saliency import criteria

CRITERIA = {name: each.words for name, each in criteria.CRITERIA.items()}

METRICS = {name: each.words for name, each in metrics.METRICS.items()} | {"loss": "loss"}
SHARES = frozenset(name for name, each in metrics.METRICS.items() if each.is_share)

OBJECTIVES = {name: each.words for name, each in objectives.OBJECTIVES.items()}
# What the two losses of a curve are: the objective's, and what validation measures.
TRAINED_LOSS = {name: each.loss_words for name, each in objectives.OBJECTIVES.items()}
VALIDATED_LOSS = {labels: each.loss_words for labels, each in metrics.SCORINGS.items()}

LABELS = {labels: each.words for labels, each in metrics.SCORINGS.items()}
UNITS = {"macs": "multiply-accumulates", "params": "parameters", "latency": "latency"}
BASELINES = {"random": "random pruning", "scratch": "from scratch"}


def capital(text: str) -> str:
    """Return a text with a capital at its start, and what follows as it is."""
    return text[:1].upper() + text[1:]


def layer(name: str) -> str:
    """Return a weight's name without the ending that every weight has."""
    return name.removesuffix(".weight")

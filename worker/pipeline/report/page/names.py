"""Descriptions of the report's short names; most come from the engine's records."""

from secateur.core import tasks
from secateur.engine import metrics, objectives
from secateur.engine.export.formats import EXPORT_FORMATS
from secateur.engine.saliency import criteria

CRITERIA = {name: each.words for name, each in criteria.CRITERIA.items()}

METRICS = {name: each.words for name, each in metrics.METRICS.items()} | {"loss": "loss"}
SHARES = frozenset(name for name, each in metrics.METRICS.items() if each.is_share)

OBJECTIVES = {name: each.words for name, each in objectives.OBJECTIVES.items()}
# The two losses of a chart: the objective's in training, and the one that validation measures.
TRAINED_LOSS = {name: each.loss_words for name, each in objectives.OBJECTIVES.items()}
VALIDATED_LOSS = {labels: each.loss_words for labels, each in metrics.SCORINGS.items()}

LABELS = {labels: each.words for labels, each in metrics.SCORINGS.items()}
TASKS: dict[str, str] = {name: each.words for name, each in tasks.TASKS.items()}
FILES = {name: (each.file, each.words) for name, each in EXPORT_FORMATS.items()}
UNITS = {"macs": "multiply-accumulates", "params": "parameters", "latency": "latency"}
BASELINES = {"random": "random pruning", "scratch": "from scratch"}


def capital(text: str) -> str:
    """Return a text with its first letter in upper case; the rest is unchanged."""
    return text[:1].upper() + text[1:]


def layer(name: str) -> str:
    """Return a weight's name without the suffix ``.weight``."""
    return name.removesuffix(".weight")
